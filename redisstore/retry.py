"""Which errors of redis-py are worth another attempt, when to make it, and what to raise instead.

redis-py's own retries are off: it does not know which of our calls may be repeated (all of them),
nor how long a caller is willing to wait.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Iterator

from redis import exceptions as rx

from redisstore.errors import (
    CorruptEntry,
    RedisStoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    from_script,
)

_log = logging.getLogger(__name__)
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5

FAILURES = (rx.RedisError, rx.RedisClusterException, OSError)
"""What is raised where a command fails; a time-out of asyncio is an ``OSError``."""

_TRANSIENT = (
    rx.ConnectionError,
    rx.TimeoutError,
    rx.BusyLoadingError,
    rx.ReadOnlyError,
    rx.ClusterError,
    rx.RedisClusterException,
    OSError,
)
_REFUSALS = (rx.AuthenticationError, rx.AuthorizationError, rx.NoPermissionError)
_TRANSIENT_CODES = (
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MOVED",
    "NOREPLICAS",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
)
_CLIENT = re.compile(r"<redis\.\S*client\.Redis\(.*?host=([^,]+),port=(\d+).*?\)>\)>\)>", re.ASCII)
"""How redis-py names a Sentinel that does not answer: with all there is in a client."""


def translated(error: Exception, key: str) -> RedisStoreError | None:
    """Return what to raise for an error of redis-py at once, or ``None``: try again.

    ``key`` is a Redis key of the call, to name what a WRONGTYPE hit.
    """
    text = str(error)
    if isinstance(error, rx.AskError):  # MOVED is one too; a client of a Cluster follows both
        return StoreRefused(f"a node of a Cluster, which needs redis+cluster://: it said {text}")
    if isinstance(error, _REFUSALS) or text.startswith(("NOPERM", "NOAUTH", "WRONGPASS")):
        return StoreRefused(f"Redis refused: {text}")
    if isinstance(error, rx.OutOfMemoryError) or text.startswith("OOM"):
        return StoreFull(f"Redis takes no more writes, maxmemory is reached: {text}")
    if isinstance(error, _TRANSIENT) or text.startswith(_TRANSIENT_CODES):
        return None
    if text.startswith("WRONGTYPE"):
        return CorruptEntry(key, f"a key is of another type, redisstore doctor names it: {text}")
    if text.startswith("unknown command"):
        text = f"{text}. A Sentinel knows no scripts: its URL is redis+sentinel://"
    return from_script(text) or StoreRefused(f"Redis refused: {text}")


def raise_if_final(error: Exception, key: str, attempts: Attempts | None = None) -> None:
    """Raise what an error of redis-py means, unless another attempt makes sense after it.

    ``attempts``: those that it is one of. ``StoreFull`` says that nothing was applied, which is not
    known where a reply was lost before.
    """
    final = translated(error, key)
    if isinstance(final, StoreFull) and attempts is not None and attempts.unsure:
        final = StoreUnavailable(
            f"an attempt may have been applied, then its reply was lost. {final}"
        )
    if final is not None:
        raise final from error
    if attempts is not None:
        attempts.take_failed(error)


def tell_repeated(failure: Exception) -> None:
    """Log that what has failed so is tried again: its caller will only see that it took longer."""
    _log.debug("no answer, trying again: %s", _told(failure))


def _told(error: Exception | None) -> str:
    text = _CLIENT.sub(r"\1:\2", str(error))
    return f"{type(error).__name__}: {text}"


class Attempts:
    """When to try, within a deadline: iterate for the pauses to make before each attempt.

    Pauses double from 20 ms to half a second, with full jitter. The first attempt is always made;
    another only if it can end before the deadline when the server hangs (``attempt_time``).
    """

    __slots__ = ("_attempt_time", "_began", "_deadline", "unsure")

    def __init__(self, deadline: float, attempt_time: float) -> None:
        self.unsure = False
        """Whether one was sent and not answered, so that it may have been applied."""
        self._began = time.monotonic()
        self._deadline = deadline
        self._attempt_time = attempt_time

    def __iter__(self) -> Iterator[float]:
        yield 0.0
        yield from self.again()

    def again(self) -> Iterator[float]:
        """Iterate for the pauses that follow the first attempt."""
        last_start = self._began + max(self._deadline - self._attempt_time, 0)
        pause = _FIRST_PAUSE
        while True:
            wait = random.uniform(0, pause)
            if time.monotonic() + wait > last_start:
                return
            yield wait
            pause = min(2 * pause, _LONGEST_PAUSE)

    def take_failed(self, error: Exception) -> None:
        """Take in what one has failed by, and that another follows."""
        self.unsure = self.unsure or not isinstance(error, rx.ResponseError)

    def left(self) -> float:
        """Return the seconds until the deadline."""
        return max(self._began + self._deadline - time.monotonic(), 0)

    def exhausted(self, label: str, error: Exception | None) -> StoreUnavailable:
        """Return the error for a caller whose time is up."""
        took = f"{time.monotonic() - self._began:.1f} s (deadline {self._deadline:g} s)"
        return StoreUnavailable(f"{label} did not answer in {took}: {_told(error)}")
