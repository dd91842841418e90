"""What a replica does beside its messages, for threads: heartbeats, jobs, expired sessions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Self, TypeAlias

from redisstore import fork
from redisstore.calls import expiry, replicas
from redisstore.calls.call import one
from redisstore.calls.callbacks import check_plain
from redisstore.calls.expiry import Claim, ClaimName, ExpiredSession, Outcome
from redisstore.calls.jobs import JOBS, Worker, jittered
from redisstore.config import StoreConfig
from redisstore.errors import RedisStoreError, StoreClosed
from redisstore.sync.base import Complete
from redisstore.sync.keeper import Keeper
from redisstore.sync.turn_register import TurnRegister

OnExpired: TypeAlias = Callable[[ExpiredSession], object]
SOONEST_BEAT = 1.0
"""Seconds after a heartbeat that failed, if the next is not due before."""
ONCE = "maintenance is started once: make another by store.maintenance()"

_log = logging.getLogger(__name__)


class Maintenance:
    """The maintenance of one replica; see ``SessionStore.maintenance``.

    A ``with`` block, or ``start`` and ``stop``. It runs several threads, so that no task waits for
    another.
    """

    def __init__(
        self,
        complete: Complete,
        turns: TurnRegister,
        config: StoreConfig,
        on_expired: OnExpired | None,
    ) -> None:
        check_plain("on_expired", on_expired)
        self._complete = complete
        self._turns = turns
        self._config = config
        self._on_expired = on_expired
        self._generation = fork.generation
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        """Taken by whoever starts it, and never given back."""
        self._presence = replicas.Presence()
        self._heart = _Loop("heartbeat", self._beat, min(config.heartbeat_ttl / 3, SOONEST_BEAT))
        self._claims: Keeper[ClaimName] = Keeper("claims", self._renew, config.finalize_claim_ttl)
        self._tasks: list[_Loop] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, and return at once. ``RuntimeError`` the second time, and after ``stop``."""
        if self._stopping.is_set() or not self._starting.acquire(blocking=False):
            raise RuntimeError(ONCE)
        self._generation = fork.generation
        for job in JOBS:
            worker = Worker(job, self._stopping.is_set)
            step = partial(self._complete, worker.attend)
            self._tasks.append(_Loop(f"job {job.name}", step, worker.pause_after_failure))
        if self._on_expired is not None:
            self._tasks.append(_Loop("expiry", partial(self._finalize, self._on_expired)))
        for loop in (self._heart, *self._tasks):
            loop.start()

    def stop(self) -> None:
        """End: wait for the callback that runs, give back what was not begun, leave the list.

        Does nothing in a process that was forked meanwhile.
        """
        if self._generation != fork.generation:
            return
        self._stopping.set()
        for loop in self._tasks:
            loop.stop()
        for loop in self._tasks:
            loop.join()
        self._claims.close()
        # Until now others could see that this replica lives.
        self._heart.stop()
        self._heart.join()
        try:
            self._complete(lambda c: one(replicas.leave(c)))
        except RedisStoreError as failure:
            _log.warning("this replica did not leave the list and will lapse: %s", failure)

    def _beat(self) -> float:
        draining = self._turns.draining or self._stopping.is_set()
        state: replicas.ReplicaState = "draining" if draining else "up"
        self._complete(lambda c: self._presence.beat(c, self._turns.counts, state))
        return self._config.heartbeat_ttl / 3

    def _finalize(self, on_expired: OnExpired) -> float:
        claims: list[Claim] = self._complete(expiry.claim)
        for claim in claims:
            self._claims.keep(claim.name, claim)
        for claim in claims:
            try:
                self._finish(claim, on_expired)
            finally:
                self._claims.forget(claim.name, claim)
        return 0.0 if claims else jittered(expiry.LOOK_EVERY)

    def _finish(self, claim: Claim, on_expired: OnExpired) -> None:
        outcome: Outcome = "done"
        text = ""
        if self._stopping.is_set():
            outcome = "released"
        elif not claim.is_sure(time.monotonic()):
            return
        else:
            try:
                on_expired(claim.expired)
            except BaseException as error:  # noqa: BLE001 - in this thread, it is a try that failed
                _log.exception("finalizing %s failed", claim.name.session_key)
                outcome, text = "failed", expiry.described(error)
        try:
            answer: str = self._complete(lambda c: one(expiry.finish(c, claim, outcome, text)))
        except RedisStoreError as failure:
            _log.warning("%s was %s, and it lapses: %s", claim.name.session_key, outcome, failure)
        else:
            expiry.log_outcome(claim, answer)

    def _renew(self, names: Sequence[ClaimName]) -> Mapping[ClaimName, datetime | None]:
        found: Mapping[ClaimName, datetime | None] = self._complete(
            lambda c: expiry.renew(c, names)
        )
        return found


class _Loop:
    """Does something again and again, in a thread; it returns after how many seconds."""

    def __init__(
        self, name: str, step: Callable[[], float], pause_after_failure: float = expiry.LOOK_EVERY
    ) -> None:
        self._name = name
        self._step = step
        self._pause_after_failure = pause_after_failure
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"redisstore-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopped.wait(pause):
            try:
                pause = self._step()
            except StoreClosed:
                return
            except RedisStoreError as failure:
                _log.warning("maintenance (%s) goes on later: %s", self._name, failure)
                pause = self._pause_after_failure
            except Exception:  # noqa: BLE001 - nobody else would see it, and it would stop for good
                _log.exception("maintenance (%s) goes on later", self._name)
                pause = self._pause_after_failure
