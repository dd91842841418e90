"""The turns of one store, for asyncio; see ``redisstore/sync/turn_register.py``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from redisstore.aio.base import AsyncComplete
from redisstore.aio.claim_timers import AsyncClaimTimers
from redisstore.aio.keeper import AsyncKeeper
from redisstore.calls import leases, sessions, turns
from redisstore.calls.call import Conditions, Context, Lease, Steps, one
from redisstore.calls.counters import Counters
from redisstore.calls.drain import CUT, NO_MORE, Drained
from redisstore.calls.turn_replies import Abandoned, Ended, Running
from redisstore.calls.turn_state import TurnState
from redisstore.calls.turns import Request
from redisstore.entry import SessionEntry
from redisstore.errors import (
    DuplicateMessage,
    RedisStoreError,
    ReplicaDraining,
    StoreClosed,
    TurnBusy,
    TurnLost,
)
from redisstore.keys import KeySpace

T = TypeVar("T")
_log = logging.getLogger(__name__)


class AsyncTurnRegister:
    """Begins and ends turns, renews those that run, and sees that a lane handed over is claimed."""

    def __init__(
        self,
        complete: AsyncComplete,
        space: Callable[[], KeySpace],
        ttl: float,
    ) -> None:
        self._complete = complete
        self._space = space
        self._keeper: AsyncKeeper[Lease] = AsyncKeeper("turns", self._renew, ttl)
        self._waiting: dict[str, Request] = {}
        self._running: dict[str, TurnState] = {}
        self._idle = asyncio.Event()
        """Set while no turn runs."""
        self._idle.set()
        self._claims = AsyncClaimTimers(complete, self._run_errand)
        self._errands: set[asyncio.Task[Any]] = set()
        """What goes on though whoever began it was cancelled."""
        self._draining = False
        self._closed = False

    @property
    def counts(self) -> tuple[int, int]:
        """How many turns run, and how many begin or wait."""
        return len(self._running), len(self._waiting)

    @property
    def draining(self) -> bool:
        """Whether it begins no more turns."""
        return self._draining

    async def begin(self, turn: TurnState) -> None:
        """Begin a turn; what was sent in vain is given up."""
        turn.enter()
        wanted = turn.request
        if over := self._over():
            raise over
        self._waiting[wanted.token] = wanted
        try:
            begun: tuple[Running, float] = await self._complete(
                lambda c: turns.begin(c, wanted), create=True
            )
        except (DuplicateMessage, TurnBusy, StoreClosed):
            raise
        except TurnLost as lost:
            if over := self._over():
                raise over from lost
            raise
        except BaseException:
            # It may have arrived all the same, cancelled or not.
            self._run_errand(self._abandon(wanted))
            raise
        finally:
            del self._waiting[wanted.token]
        if over := self._over():
            self._run_errand(self._abandon(wanted))
            raise over
        turn.take_begun(*begun)
        self._running[turn.request.token] = turn
        self._idle.clear()
        self._keeper.keep(turn.lease, turn)

    def _over(self) -> RedisStoreError | None:
        """Return why no turn begins any more, if so."""
        if self._closed:
            return StoreClosed()
        return ReplicaDraining(NO_MORE) if self._draining else None

    async def update(
        self, turn: TurnState, last_prompt_tokens: int | None, counters: Counters
    ) -> SessionEntry | None:
        """Make a fenced write."""
        key, conditions = turn.request.session_key, Conditions(if_turn=turn)

        def steps(context: Context) -> Steps[SessionEntry | None]:
            return one(sessions.update(context, key, last_prompt_tokens, counters, conditions))

        try:
            entry: SessionEntry | None = await self._complete(steps)
        except TurnLost:
            turn.tell_lost()
            raise
        return entry

    async def end(
        self, turn: TurnState, last_prompt_tokens: int | None, counters: Counters
    ) -> Ended:
        """End a turn well. A caller that is cancelled meanwhile does not stop it."""
        return await self._outlive(self._end(turn, last_prompt_tokens, counters))

    async def _end(
        self, turn: TurnState, last_prompt_tokens: int | None, counters: Counters
    ) -> Ended:
        lease = turn.lease
        with turn.ending():
            ended: Ended = await self._complete(
                lambda c: turns.end(c, lease, last_prompt_tokens, counters)
            )
        self.forget(turn)
        if ended.handed:
            self._claims.expect_claim(self._space().partition_of(turn.request.session_key))
        return ended

    async def give_up(self, turn: TurnState, reason: str = "") -> Abandoned:
        """Give a running turn up. A caller that is cancelled meanwhile does not stop it."""
        self.forget(turn)
        turn.ended = turn.ended or not reason
        return await self._outlive(self._give_up(turn.request, reason))

    def forget(self, turn: TurnState) -> None:
        """Stop renewing a turn."""
        self._keeper.forget(turns.lease_of(turn.request, turn.begun), turn)
        self._running.pop(turn.request.token, None)
        if not self._running:
            self._idle.set()

    async def drain(self, grace: float) -> Drained:
        """Begin no more turns, send those that wait away, and cut what does not end in time."""
        self._draining = True
        waiting = list(self._waiting.values())
        told = await asyncio.gather(
            *(self._reach(wanted, self._give_up(wanted, wake=True)) for wanted in waiting)
        )
        before = len(self._running)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._idle.wait()
        running = list(self._running.values())
        were_cut = await asyncio.gather(*(self._cut(turn) for turn in running))
        cut = [turn for turn, was_cut in zip(running, were_cut, strict=True) if was_cut]
        return Drained(
            finished=before - len(cut),
            sent_away=told.count("waiting"),
            cut=tuple(turn.request.session_key for turn in cut),
        )

    async def _cut(self, turn: TurnState) -> bool:
        return turn.take_cut(await self._reach(turn.request, self.give_up(turn, CUT)))

    async def _reach(self, wanted: Request, giving_up: Awaitable[Abandoned]) -> str:
        """Give a turn up, if that can be, and return what it was."""
        try:
            return (await giving_up).was
        except RedisStoreError as failure:
            _log.warning("%s was not given up and will lapse: %s", wanted.token, failure)
            return ""

    async def close(self) -> None:
        """Stop renewing, and give up what waits. What still runs lapses by itself."""
        self._closed = True
        self._claims.close()
        for wanted in self._waiting.values():
            self._run_errand(self._abandon(wanted))
        await self._keeper.close()
        if self._errands:
            await asyncio.wait(self._errands)

    async def _give_up(self, wanted: Request, reason: str = "", *, wake: bool = False) -> Abandoned:
        abandoned: Abandoned = await self._complete(
            lambda c: turns.give_up(c, wanted, reason, wake=wake)
        )
        if abandoned.handed:
            self._claims.expect_claim(self._space().partition_of(wanted.session_key))
        return abandoned

    async def _abandon(self, wanted: Request) -> None:
        try:
            await self._give_up(wanted)
        except RedisStoreError as failure:
            _log.debug("%s was not abandoned and will lapse: %s", wanted.token, failure)

    async def _renew(self, held: Sequence[Lease]) -> Mapping[Lease, datetime | None]:
        try:
            return await self._renew_all(held)
        except RedisStoreError:
            parts = self._space().by_partition(held, lambda lease: lease.session_key)
            if len(parts) == 1:
                raise
            # A partition that can't be reached must not cost the turns of the others.
            found: dict[Lease, datetime | None] = {}
            for part in parts.values():
                found.update(await self._renew_part(part))
            return found

    async def _renew_all(self, held: Sequence[Lease]) -> Mapping[Lease, datetime | None]:
        found: Mapping[Lease, datetime | None] = await self._complete(
            lambda c: leases.renew(c, held)
        )
        return found

    async def _renew_part(self, part: Sequence[Lease]) -> Mapping[Lease, datetime | None]:
        try:
            return await self._renew_all(part)
        except RedisStoreError as failure:
            _log.warning("%d turns were not renewed: %s", len(part), failure)
            for lease in part:
                if turn := self._running.get(lease.token):
                    turn.not_renewed()
            return {}

    async def _outlive(self, errand: Coroutine[Any, Any, T]) -> T:
        """Await what goes on though the caller is cancelled; then its failure is logged."""
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    def _run_errand(self, errand: Coroutine[Any, Any, object]) -> None:
        """Do something that nobody waits for."""
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        task.add_done_callback(_log_failure)


def _log_failure(errand: asyncio.Task[Any]) -> None:
    failure = None if errand.cancelled() else errand.exception()
    if isinstance(failure, RedisStoreError):
        _log.warning("what nobody waited for any more has failed: %s", failure)
    elif failure is not None:
        _log.error("what nobody waited for any more has failed", exc_info=failure)
