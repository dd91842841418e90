"""The turns of a gateway: which message is being handled, and what of it goes to the store when.

A delivery of the gateway's is a scope, kept in a context variable, so that whatever is done for it
finds its turn, on the event loop and in threads. Who comes late, when the turn is over, finds a
turn that refuses to write.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from redisstore.aio.store import AsyncSessionStore
from redisstore.aio.turn import AsyncTurn
from redisstore.entry import SessionEntry
from redisstore.errors import RedisStoreError, StaleWrite, TurnLost

_log = logging.getLogger(__name__)


class Scope:
    """One delivery, from its message to its answer."""

    def __init__(self, *, delivers: bool) -> None:
        self.delivers = delivers
        """Whether the gateway says when the answer is sent; else the turn ends with its handler."""
        self.key = ""
        self.turn: AsyncTurn | None = None
        self.over = False
        self.tokens: int | None = None
        self.succeeded = False
        """Whether the agent came to an end of its own."""
        self.told_new = False
        self.bound_anew = False
        """Whether this very gateway has bound the session anew meanwhile."""

    @property
    def runs(self) -> bool:
        """Whether its turn has begun and is not over."""
        return self.turn is not None and not self.over


@dataclass(frozen=True)
class Begun:
    """What the begin of a turn has found."""

    entry: SessionEntry
    created: bool


SCOPE: ContextVar[Scope | None] = ContextVar("redisstore_scope", default=None)


class Turns:
    """The turns of this process."""

    def __init__(self) -> None:
        self.store: AsyncSessionStore | None = None
        """The store that they run on; ``None``: no event loop, so there are none."""
        self.on_end: Callable[[SessionEntry], object] = lambda _: None
        """Told what a turn has left in the store."""
        self._running: dict[str, Scope] = {}

    def on(self, key: str) -> AsyncTurn | None:
        """Return the turn that a write to a session is part of; it may be over."""
        scope = SCOPE.get()
        return scope.turn if scope is not None and scope.key == key else None

    def running(self, key: str) -> Scope | None:
        """Return the delivery that has a session now, in this process."""
        return self._running.get(key)

    def resolved(self, key: str) -> Begun | None:
        """Return what the turn's begin has resolved, which nobody has to ask again."""
        scope = SCOPE.get()
        if scope is None or scope.key != key or scope.turn is None or not scope.runs:
            return None
        created = scope.turn.created and not scope.told_new
        scope.told_new = True
        return Begun(scope.turn.entry, created)

    def note_tokens(self, key: str, last_prompt_tokens: int | None) -> bool:
        """Keep for the end of the turn what it has cost; false if there is no turn."""
        scope = SCOPE.get()
        if scope is None or scope.key != key or scope.turn is None:
            return False
        if last_prompt_tokens is not None:
            scope.tokens = last_prompt_tokens
        return True

    def note_success(self, key: str) -> bool:
        """Take in that the agent came to an end of its own; false if there is no turn."""
        scope = SCOPE.get()
        if scope is None or scope.key != key or scope.turn is None:
            return False
        scope.succeeded = True
        return True

    def note_bound_anew(self, key: str) -> None:
        """Take in that this gateway binds a session anew: an event of that is no news."""
        if scope := self._running.get(key):
            scope.bound_anew = True

    async def begin(self, scope: Scope, key: str, turn: AsyncTurn) -> None:
        """Begin a turn, after the ones before it; raises what ``store.turn`` raises."""
        await turn.__aenter__()
        scope.key, scope.turn, scope.over = key, turn, False
        scope.told_new, scope.succeeded, scope.bound_anew, scope.tokens = False, False, False, None
        self._running[key] = scope

    async def end(self, scope: Scope) -> None:
        """End a turn well. What goes wrong is logged: the answer has been sent."""
        if (turn := self._close(scope)) is None:
            return
        try:
            self.on_end(await turn.end(last_prompt_tokens=scope.tokens))
        except StaleWrite:
            _log.info("%s: the session was reset meanwhile, its message is done", turn)
        except TurnLost as lost:
            _log.warning("%s was answered, but had been lost: %s", turn, lost)
        except RedisStoreError as failure:
            _log.warning("%s was answered, but its end was not written: %s", turn, failure)
        finally:
            # One that has not ended must not be renewed for ever.
            await _give_up(turn)

    async def give_up(self, scope: Scope) -> None:
        """Give a turn up: its message may be delivered again."""
        if (turn := self._close(scope)) is not None:
            await _give_up(turn)

    def _close(self, scope: Scope) -> AsyncTurn | None:
        if not scope.runs:
            return None
        scope.over = True
        if self._running.get(scope.key) is scope:
            del self._running[scope.key]
        return scope.turn


async def _give_up(turn: AsyncTurn) -> None:
    try:
        await turn.give_up()
    except RedisStoreError as failure:
        _log.warning("%s was not given up and will lapse: %s", turn, failure)


def known_store(turns: Turns) -> AsyncSessionStore:
    """Return the store of the turns. Raises ``RuntimeError`` before there is one."""
    if turns.store is None:
        raise RuntimeError("turns need the gateway's event loop")
    return turns.store
