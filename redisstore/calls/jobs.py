"""Maintenance jobs: every replica may do them, and one at a time does.

A job is taken with a lease, done in steps, and given back. Who does it renews the lease between
the steps, and begins no step that could outlast it: what is unsure belongs to the next.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from redisstore.calls import leases, prune
from redisstore.calls.call import Ask, Call, Context, Found, Steps, Wait, as_bool

_PAUSE_AFTER_FAILURE = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do once in so many seconds, by whichever replica."""

    name: str
    interval: float
    work: Callable[[Context], Generator[Ask | Found[Any] | Wait, Any, Any]]
    """Its steps."""


def _prune(context: Context) -> Generator[Ask | Found[Any] | Wait, Any, None]:
    yield from prune.sweep(context, max_age_days=None, before=None, dry_run=False)


JOBS = (Job("turns", 1.0, leases.recover_all), Job("prune", 3600.0, _prune))
"""Lapsed turns are found within seconds, old sessions within the hour."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: str
    seconds: float


class Worker:
    """Does one job, whenever it is due and nobody else is at it."""

    def __init__(
        self,
        job: Job,
        stopping: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job = job
        self._stopping = stopping
        self._clock = clock
        self._number = secrets.token_hex(4)

    @property
    def pause_after_failure(self) -> float:
        """Seconds after which to look again, where Redis was away or a key is damaged."""
        return min(self.job.interval, _PAUSE_AFTER_FAILURE)

    def attend(self, context: Context) -> Steps[float]:
        """Take the job if it is to be had, and do it; return in how many seconds to look again.

        A failure leaves it taken; then the next look goes on with it, or another replica takes it
        when the lease has lapsed.
        """
        key = (context.space.root, context.space.job(self.job.name))
        token = f"{context.process}/{self._number}"
        lease = _Lease(context, key, token, self._clock)
        answer = yield from lease.take(self.job.interval)
        if answer.status != "taken":
            # Whoever has it may well finish or die before its lease is over.
            return jittered(min(answer.seconds, self.job.interval))
        done = yield from self._do(context, lease)
        yield Ask([Call("finish_job", key, (token, "1" if done else ""), as_bool)])
        return jittered(self.job.interval)

    def _do(self, context: Context, lease: _Lease) -> Generator[Ask | Wait, Any, bool]:
        work, answers = self.job.work(context), None
        while True:
            try:
                step = work.send(answers)
            except StopIteration:
                return True
            answers = None
            if isinstance(step, Found):
                continue
            if self._stopping():
                return False
            if not (yield from lease.keep()):
                _log.warning("job %s was lost while it was done; another does it", self.job.name)
                return False
            answers = yield step


class _Lease:
    """The lease of a job, as this process knows it by its own clock."""

    def __init__(
        self, context: Context, key: tuple[str, str], token: str, clock: Callable[[], float]
    ) -> None:
        self._ttl = context.config.job_lease_ttl
        # A step takes as long as its calls may be repeated.
        self._margin = min(context.config.deadline, self._ttl / 2)
        self._replica = context.config.replica
        self._key = key
        self._token = token
        self._clock = clock
        self._sure_until = 0.0

    def take(self, interval: float) -> Steps[_Answer]:
        asked_at = self._clock()
        args = (self._token, self._replica, int(self._ttl * 1000), int(interval * 1000))
        call = Call("take_job", self._key, args, _read_answer)
        answers: list[_Answer] = yield Ask([call])
        self._sure_until = asked_at + self._ttl
        return answers[0]

    def keep(self) -> Generator[Ask, Any, bool]:
        """Renew it when a third has passed; whether it is sure to last for another step."""
        asked_at = self._clock()
        if self._sure_until - asked_at < 2 / 3 * self._ttl:
            args = (self._token, int(self._ttl * 1000))
            (kept,) = yield Ask([Call("renew_job", self._key, args, as_bool)])
            self._sure_until = asked_at + self._ttl if kept else 0.0
        return self._clock() + self._margin < self._sure_until


def jittered(seconds: float) -> float:
    """Return about so many seconds, so that replicas which began together don't go on so."""
    return seconds * random.uniform(0.8, 1.2)


def _read_answer(reply: Sequence[bytes]) -> _Answer:
    return _Answer(reply[0].decode(), int(reply[1]) / 1000)
