"""The turns of one store, for asyncio; see ``redisstore/sync/turn_register.py``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from redisstore.aio.base import AsyncComplete
from redisstore.aio.keeper import AsyncKeeper
from redisstore.calls import leases, sessions, turns
from redisstore.calls.call import Conditions, Context, Lease, Steps, one
from redisstore.calls.counters import Counters
from redisstore.calls.drain import CUT, Drained
from redisstore.calls.turn_replies import Abandoned, Ended, Recovered, Running
from redisstore.calls.turns import CLAIM_SECONDS, LOOK_SLACK, Request
from redisstore.entry import SessionEntry
from redisstore.errors import (
    DuplicateMessage,
    RedisStoreError,
    ReplicaDraining,
    TurnBusy,
    TurnLost,
)
from redisstore.keys import Partition, SessionKey

if TYPE_CHECKING:
    from redisstore.aio.turn import AsyncTurn

T = TypeVar("T")
NO_MORE = "this store begins no more turns"
_log = logging.getLogger(__name__)


class AsyncTurnRegister:
    """Begins and ends turns, renews those that run, and sees that a lane handed over is claimed."""

    def __init__(
        self,
        complete: AsyncComplete,
        partition_of: Callable[[SessionKey], Partition],
        ttl: float,
    ) -> None:
        self._complete = complete
        self._partition_of = partition_of
        self._keeper: AsyncKeeper[Lease] = AsyncKeeper("turns", self._renew, ttl)
        self._waiting: dict[str, Request] = {}
        self._running: dict[str, AsyncTurn] = {}
        self._idle = asyncio.Event()
        """Set while no turn runs."""
        self._idle.set()
        self._looks: dict[Partition, asyncio.TimerHandle] = {}
        self._handed_since: set[Partition] = set()
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

    async def begin(self, turn: AsyncTurn) -> None:
        """Begin a turn; what was sent in vain is given up."""
        wanted = turn.wanted
        if self._draining:
            raise ReplicaDraining(NO_MORE)
        self._waiting[wanted.token] = wanted
        try:
            begun: tuple[Running, float] = await self._complete(
                lambda c: turns.begin(c, wanted), create=True
            )
        except (DuplicateMessage, TurnBusy):
            raise
        except TurnLost as lost:
            if self._draining:
                raise ReplicaDraining(NO_MORE) from lost
            raise
        except BaseException:
            # It may have arrived all the same, cancelled or not.
            self._run_errand(self._abandon(wanted))
            raise
        finally:
            del self._waiting[wanted.token]
        if self.draining:
            self._run_errand(self._abandon(wanted))
            raise ReplicaDraining(NO_MORE)
        turn.take_begun(*begun)
        self._running[turn.token] = turn
        self._idle.clear()
        self._keeper.keep(turn.lease, turn)

    async def update(
        self, turn: AsyncTurn, last_prompt_tokens: int | None, counters: Counters
    ) -> SessionEntry | None:
        """Make a fenced write."""
        key, conditions = turn.session_key, Conditions(if_turn=turn)

        def steps(context: Context) -> Steps[SessionEntry | None]:
            return one(sessions.update(context, key, last_prompt_tokens, counters, conditions))

        try:
            entry: SessionEntry | None = await self._complete(steps)
        except TurnLost:
            turn.tell_lost()
            raise
        return entry

    async def end(
        self, turn: AsyncTurn, last_prompt_tokens: int | None, counters: Counters
    ) -> Ended:
        """End a turn well. A caller that is cancelled meanwhile does not stop it."""
        return await asyncio.shield(self._run_errand(self._end(turn, last_prompt_tokens, counters)))

    async def _end(
        self, turn: AsyncTurn, last_prompt_tokens: int | None, counters: Counters
    ) -> Ended:
        lease = turn.lease
        try:
            ended: Ended = await self._complete(
                lambda c: turns.end(c, lease, last_prompt_tokens, counters)
            )
        except TurnLost:
            turn.tell_lost()
            raise
        turn.ended = True
        self.forget(turn)
        if ended.handed:
            self._expect_claim(self._partition_of(turn.session_key))
        return ended

    async def give_up(self, turn: AsyncTurn, reason: str = "") -> Abandoned:
        """Give a running turn up. A caller that is cancelled meanwhile does not stop it."""
        self.forget(turn)
        turn.ended = turn.ended or not reason
        return await asyncio.shield(self._run_errand(self._give_up(turn.wanted, reason)))

    def forget(self, turn: AsyncTurn) -> None:
        """Stop renewing a turn."""
        self._keeper.forget(turns.lease_of(turn.wanted, turn.begun), turn)
        self._running.pop(turn.token, None)
        if not self._running:
            self._idle.set()

    async def drain(self, grace: float) -> Drained:
        """Begin no more turns, send those that wait away, and cut what does not end in time."""
        self._draining = True
        waiting = list(self._waiting.values())
        sent_away = [await self._give_up(wanted, wake=True) for wanted in waiting]
        before = len(self._running)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._idle.wait()
        cut = list(self._running.values())
        for turn in cut:
            await self._cut(turn)
        return Drained(
            finished=before - len(cut),
            sent_away=sum(away.was == "waiting" for away in sent_away),
            cut=tuple(turn.session_key for turn in cut),
        )

    async def _cut(self, turn: AsyncTurn) -> None:
        try:
            await self.give_up(turn, CUT)
        except RedisStoreError as failure:
            _log.warning("%s was not cut and will lapse: %s", turn, failure)
        turn.tell_lost()

    async def close(self) -> None:
        """Stop renewing and looking. What still runs lapses by itself."""
        self._closed = True
        await self._keeper.close()
        for look in self._looks.values():
            look.cancel()
        self._looks.clear()
        if self._errands:
            await asyncio.wait(self._errands)

    async def _give_up(self, wanted: Request, reason: str = "", *, wake: bool = False) -> Abandoned:
        abandoned: Abandoned = await self._complete(
            lambda c: turns.give_up(c, wanted, reason, wake=wake)
        )
        if abandoned.handed:
            self._expect_claim(self._partition_of(wanted.session_key))
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
            parts = self._by_partition(held)
            if len(parts) == 1:
                raise
            # A partition that can't be reached must not cost the turns of the others.
            found: dict[Lease, datetime | None] = {}
            for part in parts:
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

    def _by_partition(self, held: Sequence[Lease]) -> list[list[Lease]]:
        parts: dict[Partition, list[Lease]] = {}
        for lease in held:
            parts.setdefault(self._partition_of(lease.session_key), []).append(lease)
        return list(parts.values())

    def _run_errand(self, errand: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errand_done)
        return task

    def _errand_done(self, task: asyncio.Task[Any]) -> None:
        self._errands.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever still waits for it; else there is nobody to tell

    # Whoever hands a lane over looks, when the time to claim it is up, whether it was claimed:
    # the one it was given to may have died. One look a partition and period serves all.

    def _expect_claim(self, home: Partition) -> None:
        if self._closed:
            return
        if home in self._looks:
            self._handed_since.add(home)
            return
        self._looks[home] = asyncio.get_running_loop().call_later(
            CLAIM_SECONDS + LOOK_SLACK, lambda: self._run_errand(self._look(home))
        )

    async def _look(self, home: Partition) -> None:
        self._looks.pop(home, None)
        again = home in self._handed_since
        self._handed_since.discard(home)
        try:
            found: Recovered = await self._complete(lambda c: leases.recover(c, home))
            again |= found.handed
        except RedisStoreError as failure:
            _log.warning("a lane that was handed over may be unclaimed: %s", failure)
            again = True
        if again:
            self._expect_claim(home)
