"""What a replica does beside its messages, for asyncio; see ``redisstore/sync/maintenance.py``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Self, TypeAlias

from redisstore import fork
from redisstore.aio.base import AsyncComplete
from redisstore.aio.keeper import AsyncKeeper
from redisstore.aio.turn_register import AsyncTurnRegister
from redisstore.calls import expiry, replicas
from redisstore.calls.call import one
from redisstore.calls.expiry import Claim, ClaimName, ExpiredSession, Outcome
from redisstore.calls.jobs import JOBS, Worker, jittered
from redisstore.config import StoreConfig
from redisstore.connect.cancellation import is_cancelled
from redisstore.errors import RedisStoreError, StoreClosed
from redisstore.sync.maintenance import ONCE, SOONEST_BEAT

AsyncOnExpired: TypeAlias = Callable[[ExpiredSession], Awaitable[object]]

_log = logging.getLogger(__name__)


class AsyncMaintenance:
    """The maintenance of one replica; see ``AsyncSessionStore.maintenance``.

    An ``async with`` block, or ``start`` and ``stop``. It runs several asyncio tasks, so that none
    waits for another.
    """

    def __init__(
        self,
        complete: AsyncComplete,
        turns: AsyncTurnRegister,
        config: StoreConfig,
        on_expired: AsyncOnExpired | None,
    ) -> None:
        self._complete = complete
        self._turns = turns
        self._config = config
        self._on_expired = on_expired
        self._generation = fork.generation
        self._stopping = asyncio.Event()
        self._started = False
        self._presence = replicas.Presence()
        self._heart = _Loop("heartbeat", self._beat, min(config.heartbeat_ttl / 3, SOONEST_BEAT))
        self._claims: AsyncKeeper[ClaimName] = AsyncKeeper(
            "claims", self._renew, config.finalize_claim_ttl
        )
        self._tasks: list[_Loop] = []

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def start(self) -> None:
        """Begin, and return at once. ``RuntimeError`` the second time, and after ``stop``."""
        if self._started or self._stopping.is_set():
            raise RuntimeError(ONCE)
        self._started = True
        self._generation = fork.generation
        for job in JOBS:
            worker = Worker(job, self._stopping.is_set)
            step = partial(self._complete, worker.attend)
            self._tasks.append(_Loop(f"job {job.name}", step, worker.pause_after_failure))
        if self._on_expired is not None:
            self._tasks.append(_Loop("expiry", partial(self._finalize, self._on_expired)))
        for loop in (self._heart, *self._tasks):
            loop.start()

    async def stop(self) -> None:
        """End: wait for the callback that runs, give back what was not begun, leave the list.

        Does nothing in a process that was forked meanwhile.
        """
        if self._generation != fork.generation:
            return
        self._stopping.set()
        try:
            await _ended(*self._tasks)
            await self._claims.close()
            # Until now others could see that this replica lives.
            await _ended(self._heart)
        except asyncio.CancelledError:
            # There is no time to wait: what was claimed lapses.
            for loop in (*self._tasks, self._heart):
                loop.cancel()
            await self._claims.close()
            raise
        try:
            await self._complete(lambda c: one(replicas.leave(c)))
        except RedisStoreError as failure:
            _log.warning("this replica did not leave the list and will lapse: %s", failure)

    async def _beat(self) -> float:
        draining = self._turns.draining or self._stopping.is_set()
        state: replicas.ReplicaState = "draining" if draining else "up"
        await self._complete(lambda c: self._presence.beat(c, self._turns.counts, state))
        return self._config.heartbeat_ttl / 3

    async def _finalize(self, on_expired: AsyncOnExpired) -> float:
        claims: list[Claim] = await self._complete(expiry.claim)
        for claim in claims:
            self._claims.keep(claim.name, claim)
        for claim in claims:
            try:
                await self._finish(claim, on_expired)
            finally:
                self._claims.forget(claim.name, claim)
        return 0.0 if claims else jittered(expiry.LOOK_EVERY)

    async def _finish(self, claim: Claim, on_expired: AsyncOnExpired) -> None:
        outcome: Outcome = "done"
        text = ""
        if self._stopping.is_set():
            outcome = "released"
        elif not claim.is_sure(time.monotonic()):
            return
        else:
            try:
                await on_expired(claim.expired)
            except (Exception, asyncio.CancelledError) as error:
                if is_cancelled():
                    raise
                _log.exception("finalizing %s failed", claim.name.session_key)
                outcome, text = "failed", expiry.described(error)
        try:
            answer: str = await self._complete(
                lambda c: one(expiry.finish(c, claim, outcome, text))
            )
        except RedisStoreError as failure:
            _log.warning("%s was %s, and it lapses: %s", claim.name.session_key, outcome, failure)
        else:
            expiry.log_outcome(claim, answer)

    async def _renew(self, names: Sequence[ClaimName]) -> Mapping[ClaimName, datetime | None]:
        found: Mapping[ClaimName, datetime | None] = await self._complete(
            lambda c: expiry.renew(c, names)
        )
        return found


class _Loop:
    """Does something again and again, in a task; it returns after how many seconds."""

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[float]],
        pause_after_failure: float = expiry.LOOK_EVERY,
    ) -> None:
        self._name = name
        self._step = step
        self._pause_after_failure = pause_after_failure
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"redisstore-{self._name}")

    def stop(self) -> None:
        self._stopped.set()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def join(self) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])  # which does not cancel it with the one who waits

    async def _run(self) -> None:
        pause = 0.0
        while not self._stopped.is_set():
            try:
                pause = await self._step()
            except StoreClosed:
                return
            except RedisStoreError as failure:
                _log.warning("maintenance (%s) goes on later: %s", self._name, failure)
                pause = self._pause_after_failure
            except Exception:  # noqa: BLE001 - nobody else would see it, and it would stop for good
                _log.exception("maintenance (%s) goes on later", self._name)
                pause = self._pause_after_failure
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopped.wait()


async def _ended(*loops: _Loop) -> None:
    for loop in loops:
        loop.stop()
    for loop in loops:
        await loop.join()
