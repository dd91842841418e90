"""Maintenance jobs: every replica may do them, and one at a time does.

A job is taken with a lease, done in steps, and given back. Who does it renews the lease between
the steps, and begins none where less is left of it than a step may take: the deadline of a call, or
half of the lease where that is shorter. What is unsure belongs to the next.

A step that takes longer still may meet those of the next. It does no harm: each is a script that is
right whoever else runs it. The lease saves work, and no more.
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
from redisstore.calls.call import Ask, Call, Context, Found, Steps, Wait, as_bool, one

_PAUSE_AFTER_FAILURE = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do once in so many seconds, by whichever replica."""

    name: str
    interval: float
    work: Callable[[Context], Generator[Ask | Found[Any] | Wait, Any, Any]]
    """Its steps."""
    longest_lease: float = 3600.0
    """Seconds; short where what it does must not wait for a replica that died over it."""

    def lease(self, context: Context) -> float:
        """Return how many seconds it stays taken unless that is renewed."""
        return min(context.config.job_lease_ttl, self.longest_lease)


def _prune(context: Context) -> Generator[Ask | Found[Any] | Wait, Any, None]:
    yield from prune.sweep(context, max_age_days=None, before=None, dry_run=False)


JOBS = (
    Job("turns", 1.0, leases.recover_all, longest_lease=5.0),
    Job("prune", 3600.0, _prune),
)
"""Lapsed turns are found within seconds, old sessions within the hour."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What became of asking for a job: ``taken``, or when to ask again."""

    taken: bool
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
        self._sure_until = 0.0

    @property
    def pause_after_failure(self) -> float:
        """Seconds after which to look again, where Redis was away or a key is damaged."""
        return min(self.job.interval, _PAUSE_AFTER_FAILURE)

    def attend(self, context: Context) -> Steps[float]:
        """Take the job if it is to be had, and do it; return in how many seconds to look again.

        A failure leaves it taken; then the next look goes on with it, or another replica takes it
        when the lease has lapsed.
        """
        token = f"{context.process}/{self._number}"
        asked_at = self._clock()
        offer = yield from one(take(context, self.job, token))
        if not offer.taken:
            # Whoever has it may well finish or die before its lease is over.
            return jittered(min(offer.seconds, self.job.interval))
        self._sure_until = asked_at + self.job.lease(context)
        done = yield from self._do(context, token)
        yield Ask([finish(context, self.job, token, done=done)])
        return jittered(self.job.interval)

    def _do(self, context: Context, token: str) -> Generator[Ask | Wait, Any, bool]:
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
            if not (yield from self._keep(context, token)):
                _log.warning("job %s was lost while it was done; another does it", self.job.name)
                return False
            answers = yield step

    def _keep(self, context: Context, token: str) -> Generator[Ask, Any, bool]:
        """Renew the lease when a third has passed; whether it is sure to last another step."""
        ttl, asked_at = self.job.lease(context), self._clock()
        if self._sure_until - asked_at < 2 / 3 * ttl:
            (kept,) = yield Ask([renew(context, self.job, token)])
            self._sure_until = asked_at + ttl if kept else 0.0
        # A step takes as long as its calls may be repeated; a lease may be shorter than that.
        longest_step = min(context.config.deadline, ttl / 2)
        return self._clock() + longest_step < self._sure_until


def take(context: Context, job: Job, token: str) -> Call[Offer]:
    """Take a job, if it is due and nobody has it."""
    config = context.config
    lease_ms, interval_ms = int(job.lease(context) * 1000), int(job.interval * 1000)
    args = (token, config.replica, lease_ms, interval_ms)
    return Call("take_job", _keys(context, job), args, _read_offer)


def renew(context: Context, job: Job, token: str) -> Call[bool]:
    """Keep a job; false: it is lost."""
    lease_ms = int(job.lease(context) * 1000)
    return Call("renew_job", _keys(context, job), (token, lease_ms), as_bool)


def finish(context: Context, job: Job, token: str, *, done: bool) -> Call[bool]:
    """Give a job back."""
    return Call("finish_job", _keys(context, job), (token, "1" if done else ""), as_bool)


def jittered(seconds: float) -> float:
    """Return about so many seconds, so that replicas which began together don't go on so."""
    return seconds * random.uniform(0.8, 1.2)


def _keys(context: Context, job: Job) -> tuple[str, str]:
    return context.space.root, context.space.job(job.name)


def _read_offer(reply: Sequence[bytes]) -> Offer:
    return Offer(reply[0] == b"taken", int(reply[1]) / 1000)
