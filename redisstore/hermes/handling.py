"""What is put around the gateway's handling of messages; the same seams in 0.13 to 0.19.

* ``BasePlatformAdapter.handle_message``: a message arrives;
* ``BasePlatformAdapter._process_message_background``: it is handled and answered, as a task;
* ``GatewayRunner._handle_message_with_agent``: its turn;
* ``BasePlatformAdapter._run_processing_hook``: it was answered, or was not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from redisstore.aio.turn import AsyncTurn
from redisstore.errors import (
    DuplicateMessage,
    RedisStoreError,
    ReplicaDraining,
    StaleWrite,
    StoreUnavailable,
    TurnBusy,
    TurnLost,
)
from redisstore.hermes.conversion import to_source
from redisstore.hermes.turns import SCOPE, Scope, Turns, known_store
from redisstore.keys import SessionKey

BUSY = "I'm still busy with an earlier message here. Please send this again in a moment."
AWAY = "I can't reach my session store right now. Please send this again in a moment."
BROKEN = "I can't go on here: my session store refuses it. Please tell whoever runs me."
LEAVING = "I'm shutting down. Please send this again in a moment."
WAIT = 1800.0
"""Seconds that a message waits for the ones before it, as long as 0.19 lets a turn take."""
_MOST_TAKEN = 10_000
_log = logging.getLogger(__name__)


class Handling:
    """The handling of messages by one gateway, with its turns in Redis."""

    def __init__(self, turns: Turns, on_lost: Callable[[AsyncTurn], None]) -> None:
        self._turns = turns
        self._on_lost = on_lost
        self._taken: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def arrive(self, runner: Any, adapter: Any, event: Any) -> bool:
        """Take a message that will get no turn of its own; false if it is known already."""
        message_id = _id_of(event)
        if message_id is None:
            return True  # the gateway's own, or of a platform without ids
        key = str(runner._session_key_for_source(event.source))
        running = self._turns.running(key)
        busy = running or key in runner._running_agents or key in adapter._active_sessions
        its_turn_tells = not busy and not (event.text or "").startswith("/")
        if its_turn_tells or (key, message_id) in self._taken:  # it came back in this process
            return True
        return await self._take(SessionKey(key), message_id, running.turn if running else None)

    async def _take(self, key: SessionKey, message_id: str, turn: AsyncTurn | None) -> bool:
        try:
            taken = await known_store(self._turns).take_message(key, message_id, if_turn=turn)
        except (StaleWrite, TurnLost):
            return True  # its own turn will tell
        except RedisStoreError as failure:
            _log.warning("message %s of %s is handled unclaimed: %s", message_id, key, failure)
            return True
        if not taken:
            _log.info("message %s of %s is known already", message_id, key)
            return False
        self._taken[key, message_id] = None
        if len(self._taken) > _MOST_TAKEN:
            self._taken.popitem(last=False)
        return True

    async def turn(
        self, runner: Any, event: Any, source: Any, go_on: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        """Handle a message in a turn; return what the gateway is to answer."""
        source = await _recovered(runner, event, source)
        key = str(runner.session_store._generate_session_key(source))
        outer = SCOPE.get()
        if outer is not None and outer.runs and outer.key == key:
            return await go_on(source)
        scope = outer if outer is not None and outer.delivers else Scope(delivers=False)
        resumes = None
        if getattr(event, "internal", False) and not event.text:
            resumes = _resumption(runner, key)
            if resumes is None:
                return None  # it goes on already
        message_id = resumes or _id_of(event)
        if message_id is not None and (key, message_id) in self._taken:
            message_id = None
        before = runner.session_store._known.stored(key)
        try:
            turn = known_store(self._turns).turn(
                to_source(source),
                message_id,
                0 if resumes else WAIT,
                session_key=SessionKey(key),
                on_lost=self._on_lost,
            )
            await self._turns.begin(scope, key, turn)
        except (RedisStoreError, ValueError) as refusal:
            return None if resumes else _told(refusal, key)
        if resumes and not turn.entry.resume_pending:
            await self._turns.end(scope)
            return None
        if before is not None and before.version + 1 != turn.entry.version:
            # Another replica was at it: what the agent kept of it here is no longer all.
            runner._evict_cached_agent(key)
        return await self._within(scope, lambda: go_on(source))

    async def _within(self, scope: Scope, go_on: Callable[[], Awaitable[Any]]) -> Any:
        token = SCOPE.set(scope)
        try:
            answer = await go_on()
        except BaseException:
            if not scope.delivers:
                await self._turns.give_up(scope)
            raise
        finally:
            SCOPE.reset(token)
        if not scope.delivers:
            await self._turns.end(scope)
        return answer

    async def deliver(self, handle: Callable[[], Awaitable[None]]) -> None:
        """Handle and answer a message, as one delivery."""
        scope = Scope(delivers=True)
        token = SCOPE.set(scope)
        try:
            await handle()
        finally:
            SCOPE.reset(token)
            await self._turns.give_up(scope)

    async def complete(self, runner: Any, outcome: str) -> None:
        """End the turn of a delivery, whose answer was sent or was not."""
        scope = SCOPE.get()
        if scope is None or not scope.delivers or not scope.runs:
            return
        stops = bool(getattr(runner, "_draining", False))
        cut = stops and (outcome == "cancelled" or not scope.succeeded)
        if cut or outcome == "failure":
            await self._turns.give_up(scope)
        else:
            await self._turns.end(scope)


def _told(refusal: Exception, key: str) -> str | None:
    """Return what a person is told whose message could not be handled; ``None``: nothing."""
    if isinstance(refusal, DuplicateMessage):
        _log.info("a message of %s came again, it is %s", key, refusal.state)
        return None
    _log.warning("a message of %s was not handled: %s", key, refusal)
    if isinstance(refusal, TurnBusy):
        return BUSY
    if isinstance(refusal, ReplicaDraining):
        return LEAVING
    return AWAY if isinstance(refusal, StoreUnavailable | TurnLost) else BROKEN


def _id_of(event: Any) -> str | None:
    """Return the platform's id of a message; the gateway's own events have none."""
    message_id = getattr(event, "message_id", None)
    return None if getattr(event, "internal", False) or not message_id else str(message_id)


def _resumption(runner: Any, key: str) -> str | None:
    """Return a name for going on with an interrupted session; ``None``: it is not any more.

    An event of the gateway's own without a text is for that. All replicas have the same name for
    it, so one of them does it.
    """
    entry = runner.session_store._entries.get(key)
    if entry is None or not entry.resume_pending:
        return None
    marked = entry.last_resume_marked_at or entry.updated_at
    return f"resume:{entry.session_id}:{marked.isoformat()}"


async def _recovered(runner: Any, event: Any, source: Any) -> Any:
    """Return the source with the topic that the gateway would find for it first of all."""
    recover = getattr(runner, "_recover_telegram_topic_thread_id", None)
    if recover is None:
        return source
    found = await asyncio.to_thread(recover, source)
    if found is None:
        return source
    event.source = dataclasses.replace(source, thread_id=found)
    return event.source
