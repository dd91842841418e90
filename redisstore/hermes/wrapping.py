"""What is wrapped of the gateway's classes, which have no hooks for it; once, and by name.

The seams are the same in 0.13 to 0.19: all that differs behind them is the gateway's own affair.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from redisstore.errors import RedisStoreError

if TYPE_CHECKING:
    from redisstore.hermes.plugin import Plugin

_log = logging.getLogger(__name__)
_MARK = "_redisstore_wrapped"
RESUMED = frozenset({"replica_lost"})
"""Why a session is gone on with, beside the gateway's own reasons."""


def _wrap(owner: type[Any], name: str, make: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    if hasattr(original, _MARK):
        return
    wrapped = wraps(original)(make(original))
    setattr(wrapped, _MARK, True)
    setattr(owner, name, wrapped)


def wrap_runner(owner: type[Any], plugin: Plugin) -> None:
    """Wrap the gateway: its turns, its start and its end."""

    def turn(original: Any) -> Any:
        async def handle(self: Any, event: Any, source: Any, *more: Any, **named: Any) -> Any:
            return await plugin.handling.turn(
                self, event, source, lambda found: original(self, event, found, *more, **named)
            )

        return handle

    def start(original: Any) -> Any:
        async def started(self: Any, *more: Any, **named: Any) -> Any:
            if plugin.upkeep is not None:
                with contextlib.suppress(RedisStoreError):  # it looks again, and tells
                    await plugin.upkeep.look()
                plugin.upkeep.start()
            return await original(self, *more, **named)

        return started

    def stop(original: Any) -> Any:
        async def stopped(self: Any, *more: Any, **named: Any) -> Any:
            leaving = plugin.begin_no_more()
            try:
                return await original(self, *more, **named)
            finally:
                if leaving is not None:
                    leaving.cancel()
                await plugin.closed(self)

        return stopped

    _wrap(owner, "_handle_message_with_agent", turn)
    _wrap(owner, "start", start)
    _wrap(owner, "stop", stop)


def wrap_watches(owner: type[Any], plugin: Plugin) -> None:
    """Wrap what the gateway does of itself with all sessions: resume some, and finalize some."""

    def resume(original: Any) -> Any:
        def scheduled(self: Any, *more: Any, **named: Any) -> Any:
            if plugin.upkeep is None:
                return 0
            known = self.session_store._known
            try:
                keys = [key for key in plugin.upkeep.interrupted if known.is_interrupted(key)]
            except RedisStoreError as failure:
                _log.warning("interrupted sessions are gone on with later: %s", failure)
                return 0
            plugin.upkeep.keep_interrupted(keys)
            # 0.13 does not look whether it is at one of them.
            with known.only(key for key in keys if is_free(self, key)):
                return original(self, *more, **named)

        return scheduled

    def watch(_: Any) -> Any:
        async def left_to_upkeep(self: Any, *_more: Any, **_named: Any) -> None:
            """Do nothing: what expires is claimed by one replica, in ``upkeep``."""

        return left_to_upkeep

    _wrap(owner, "_schedule_resume_pending_sessions", resume)
    _wrap(owner, "_session_expiry_watcher", watch)
    owner._AUTO_RESUME_REASONS = frozenset(owner._AUTO_RESUME_REASONS) | RESUMED


def is_idle(runner: Any, adapter: Any, key: str) -> bool:
    """Whether nothing of a session is being handled in this gateway."""
    running = getattr(runner, "_running_agents", ())
    return key not in adapter._active_sessions and key not in running


def is_free(runner: Any, key: str) -> bool:
    """Whether no platform of a gateway is at a session."""
    return all(is_idle(runner, adapter, key) for adapter in runner.adapters.values())


def wrap_adapters(owner: type[Any], plugin: Plugin) -> None:
    """Wrap what all platforms have in common: how a message arrives, and is answered."""

    def arrive(original: Any) -> Any:
        async def arrived(self: Any, event: Any) -> Any:
            runner = plugin.runner
            if runner is not None and not await plugin.handling.arrive(runner, self, event):
                return None
            result = await original(self, event)
            # It may have been put aside for a turn that had just ended.
            for key in [key for key in self._pending_messages if is_idle(runner, self, key)]:
                await original(self, self._pending_messages.pop(key))
            return result

        return arrived

    def deliver(original: Any) -> Any:
        async def delivered(self: Any, *more: Any, **named: Any) -> Any:
            return await plugin.handling.deliver(lambda: original(self, *more, **named))

        return delivered

    def complete(original: Any) -> Any:
        async def completed(self: Any, hook: str, *more: Any, **named: Any) -> Any:
            if hook == "on_processing_complete":
                outcome = str(getattr(more[-1], "value", more[-1])) if more else ""
                await plugin.handling.complete(plugin.runner, outcome)
            return await original(self, hook, *more, **named)

        return completed

    _wrap(owner, "handle_message", arrive)
    _wrap(owner, "_process_message_background", deliver)
    _wrap(owner, "_run_processing_hook", complete)


def wrap_processes(owner: type[Any], plugin: Plugin) -> None:
    """Wrap what begins and ends background processes."""

    def begin(original: Any) -> Any:
        def begun(self: Any, *more: Any, **named: Any) -> Any:
            process = original(self, *more, **named)
            _note(plugin, process)
            return process

        return begun

    def end(original: Any) -> Any:
        def ended(self: Any, process: Any, *more: Any, **named: Any) -> Any:
            result = original(self, process, *more, **named)
            _note(plugin, process)
            return result

        return ended

    def recover(original: Any) -> Any:
        def recovered(self: Any, *more: Any, **named: Any) -> Any:
            result = original(self, *more, **named)
            for process in list(self._running.values()):
                _note(plugin, process)
            return result

        return recovered

    _wrap(owner, "spawn_local", begin)
    _wrap(owner, "spawn_via_env", begin)
    _wrap(owner, "_move_to_finished", end)
    _wrap(owner, "recover_from_checkpoint", recover)


def _note(plugin: Plugin, process: Any) -> None:
    if plugin.holds is not None:
        plugin.holds.note(getattr(process, "session_key", None))
