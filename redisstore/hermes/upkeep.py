"""What a gateway does besides messages, each of it by one replica at a time.

It shows that it lives, goes on with what others have left, and finalizes what has expired.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from redisstore.aio.store import AsyncSessionStore
from redisstore.calls.event import Event
from redisstore.calls.events import Since
from redisstore.calls.expiry import ExpiredSession
from redisstore.errors import RedisStoreError

SWEEP_EVERY = 300.0
"""Seconds between two looks for agents that nobody has used for a while, as in the gateway."""
RETRY_EVERY = 10.0
_MOST_TRIES = 3
"""How often one replica tries again to go on with a session that is interrupted."""
_PAUSE = 1.0
_log = logging.getLogger(__name__)


class Upkeep:
    """Runs beside a gateway, on its event loop, until it is stopped."""

    def __init__(
        self,
        store: AsyncSessionStore,
        gateway: Callable[[], Any],
        on_left: Callable[[str, str | None], None],
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._on_left = on_left
        self._interrupted: dict[str, int] = {}
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def interrupted(self) -> tuple[str, ...]:
        """The sessions that may be interrupted, by key, as far as they have been heard of."""
        return tuple(key for key, tries in self._interrupted.items() if tries <= _MOST_TRIES)

    def keep_interrupted(self, keys: Iterable[str]) -> None:
        """Forget those that are not among these: somebody has gone on with them."""
        self._interrupted = {key: self._interrupted.get(key, 0) for key in keys}

    def start(self) -> None:
        """Begin, as a task of the running loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="redisstore-upkeep")

    async def stop(self) -> None:
        """End, after what is being finalized."""
        self._ended.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._store.close()

    async def look(self) -> None:
        """Learn which sessions are interrupted now."""
        async for entry in self._store.list_sessions(only="resume_pending"):
            self._interrupted.setdefault(entry.session_key, 0)

    async def _run(self) -> None:
        async with self._store.maintenance(on_expired=self._finalize):
            works = (self._follow, self._retry, self._sweep)
            tasks = [asyncio.create_task(work()) for work in works]
            await self._ended.wait()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _follow(self) -> None:
        """Go on with what is interrupted, whichever replica was at it, as soon as it is known."""
        seen: dict[int, str] = {}
        while True:
            try:
                await self.look()
                since: Since = tuple(seen.values()) or "now"
                async for event in self._store.events(since=since):
                    self._take(event)
                    seen[event.partition] = event.id
            except RedisStoreError as failure:
                _log.warning("events are followed again later: %s", failure)
            except Exception:  # noqa: BLE001 - it would stop for good, and nobody would see it
                _log.exception("events are followed again later")
            await asyncio.sleep(_PAUSE)

    def _take(self, event: Event) -> None:
        key = event.session_key
        if key is None:
            return
        if event.kind == "resume_pending":
            self._interrupted[key] = 0
            self._resume()
        elif event.kind in {"reset", "deleted", "switched"} and event.reason != "continued":
            self._interrupted.pop(key, None)
            self._on_left(key, event.old_session_id or event.session_id)
        elif event.kind == "finalized":
            self._let_go(key)

    def _let_go(self, key: str) -> None:
        """Forget the agent of a session that is over, whoever has closed it."""
        gateway = self._gateway()
        if gateway is not None and key not in gateway._running_agents:
            gateway._evict_cached_agent(key)

    def _resume(self) -> None:
        gateway = self._gateway()
        if gateway is not None and getattr(gateway, "_running", False):
            with _no_boot_counted():
                gateway._schedule_resume_pending_sessions()

    async def _retry(self) -> None:
        """Try again what a stopping gateway was still at, or what was not gone on with."""
        while True:
            await asyncio.sleep(RETRY_EVERY)
            for key in self.interrupted:
                self._interrupted[key] += 1
            if self._interrupted:
                self._resume()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            gateway = self._gateway()
            try:
                gateway._sweep_idle_cached_agents()
            except Exception:  # noqa: BLE001 - as in the gateway
                _log.exception("idle agents were not looked for")

    async def _finalize(self, expired: ExpiredSession) -> None:
        """Do for an expired session what the gateway's own watcher does."""
        gateway, entry = self._gateway(), expired.entry
        if gateway is None:
            raise RuntimeError("the gateway has ended")
        await finalize(gateway, entry.session_key, entry.session_id)


async def finalize(gateway: Any, key: str, session_id: str) -> None:
    """Tell the plugins that a session is over, and let go of its agent, as each version does."""
    plugins = importlib.import_module("hermes_cli.plugins")
    parts = key.split(":")
    platform = parts[2] if len(parts) > 2 else ""  # noqa: PLR2004 - agent, name, platform
    plugins.invoke_hook(
        "on_session_finalize",
        session_id=session_id,
        platform=platform,
        reason="session_expired",
    )
    await release_agent(gateway, key)
    clear = getattr(gateway, "_clear_conversation_scope", None)
    if clear is not None:
        clear(key, reason="expiry_finalized")
    await asyncio.to_thread(gateway.session_store.close_expired, key, session_id)


async def release_agent(gateway: Any, key: str) -> None:
    """Close the agent that this process keeps for a session, and forget it."""
    with gateway._agent_cache_lock:
        cached = gateway._agent_cache.get(key)
    agent = cached[0] if isinstance(cached, tuple) else cached
    if agent is not None:
        off_loop = getattr(gateway, "_cleanup_agent_resources_off_loop", None)
        if off_loop is not None:
            await off_loop(agent, context="session expiry")
        else:
            await asyncio.to_thread(gateway._cleanup_agent_resources, agent)
    gateway._evict_cached_agent(key)


@contextlib.contextmanager
def _no_boot_counted() -> Iterator[None]:
    """Have 0.18 and 0.19 not take a look in mid-life for a start after a crash."""
    try:
        guard: Any = importlib.import_module("gateway.restart_loop_guard")
    except ImportError:
        yield
        return
    counts = guard.check_and_record
    guard.check_and_record = lambda *_, **__: False
    try:
        yield
    finally:
        guard.check_and_record = counts
