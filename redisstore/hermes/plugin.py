"""The plugin in one gateway process: what is put in place of what, and when.

Nothing is changed where ``register`` was not called.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import weakref
from types import FrameType
from typing import Any

from redisstore.aio.store import AsyncSessionStore
from redisstore.aio.turn import AsyncTurn
from redisstore.hermes.handling import Handling
from redisstore.hermes.holds import Holds
from redisstore.hermes.making import shared
from redisstore.hermes.store import SharedSessions
from redisstore.hermes.turns import Turns
from redisstore.hermes.upkeep import Upkeep
from redisstore.hermes.wrapping import wrap_adapters, wrap_processes, wrap_runner, wrap_watches

_DRAIN = 86_400.0
"""Seconds, longer than any gateway takes to stop."""
_TURN_DEADLINE = 5.0
"""Seconds for the calls of turns: they don't hold up the event loop."""
_log = logging.getLogger(__name__)


def is_gateway_process() -> bool:
    """Whether this process is, or becomes, a gateway: others load plugins too."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return "gateway" in sys.argv[1:] or getattr(spec, "name", None) == "gateway.run"


class Plugin:
    """What belongs to the gateway of this process."""

    def __init__(self) -> None:
        self.turns = Turns()
        self._runner: weakref.ref[Any] | None = None
        self.handling = Handling(self.turns, self._lost)
        self.holds: Holds | None = None
        self.upkeep: Upkeep | None = None

    def install(self, module: Any) -> None:
        """Put the shared store in the place of the gateway's, wherever its name is known."""
        original = module.SessionStore
        if issubclass(original, SharedSessions):
            return
        replacement = shared(original, module, self)
        for name in ("gateway.session", "gateway", "gateway.run", "__main__"):
            holder = sys.modules.get(name)
            if holder is not None and getattr(holder, "SessionStore", None) is original:
                holder.SessionStore = replacement  # type: ignore[attr-defined]

    @property
    def runner(self) -> Any:
        """The gateway, or ``None`` when it has ended."""
        return self._runner() if self._runner is not None else None

    def opened(self, store: SharedSessions) -> None:
        """Take in that the gateway's store is open; its maker is the gateway under construction."""
        runner = _maker()
        if runner is None:
            return
        self._runner = weakref.ref(runner)
        config = store.shared.config.model_copy(update={"deadline": _TURN_DEADLINE})
        self.turns.store = AsyncSessionStore.from_url(config=config)
        self.turns.on_end = store._known.take
        self.upkeep = Upkeep(self.turns.store, lambda: self.runner, self._left)
        if store.has_processes is not None:
            self.holds = Holds(store.shared, store.has_processes)
        wrap_runner(type(runner), self)
        wrap_watches(type(runner), self)
        wrap_adapters(_class_of("gateway.platforms.base", "BasePlatformAdapter"), self)
        wrap_processes(_class_of("tools.process_registry", "ProcessRegistry"), self)

    def begin_no_more(self) -> asyncio.Task[Any] | None:
        """Send away what waits for its turn; what runs is the gateway's to end. Then cancel it."""
        if self.turns.store is None:
            return None
        return asyncio.create_task(self.turns.store.drain(grace=_DRAIN))

    async def closed(self, runner: Any) -> None:
        """Leave nothing behind that others would have to wait for."""
        if self.holds is not None:
            await asyncio.to_thread(self.holds.close)
        if self.upkeep is not None:
            await self.upkeep.stop()
        await asyncio.to_thread(runner.session_store.shared.close)

    def _lost(self, turn: AsyncTurn) -> None:
        self._stop_agent(turn.session_key)

    def _left(self, key: str, session_id: str | None) -> None:
        """Take in that a session has left a conversation, on whichever replica."""
        scope = self.turns.running(key)
        turn = scope.turn if scope is not None and not scope.bound_anew else None
        if turn is not None and turn.entry.session_id == session_id:
            self._stop_agent(key)

    def _stop_agent(self, key: str) -> None:
        """Have an agent stop whose session is no longer its own; nothing of it is sent then."""
        runner = self.runner
        if runner is None:
            return
        _log.warning("%s is another's by now, what is said for it here is dropped", key)
        invalidate = getattr(runner, "_invalidate_session_run_generation", None)
        if invalidate is not None:
            invalidate(key, reason="redisstore")
        agent = runner._running_agents.get(key)
        if hasattr(agent, "interrupt"):
            agent.interrupt()  # with a text, it would be told to the model


def _class_of(module: str, name: str) -> type[Any]:
    """Return a class of the gateway's, by name: it is there when the gateway runs."""
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found


def _maker() -> Any:
    """Return the gateway whose ``__init__`` makes its store just now, or ``None``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        maker = frame.f_locals.get("self")
        if type(maker).__name__ == "GatewayRunner":
            return maker
        frame = frame.f_back
    return None
