"""Lanes that were handed over, for threads: whoever did that sees that they are claimed.

The one that a lane was given to may have died. When the time to claim it is up, lapsed leases of
its partition are recovered; one timer a partition and period serves all.
"""

from __future__ import annotations

import logging
import threading

from redisstore.calls import leases
from redisstore.calls.turn_replies import Recovered
from redisstore.calls.turns import CLAIM_SECONDS, LOOK_SLACK
from redisstore.errors import RedisStoreError
from redisstore.fork import FreshAfterFork
from redisstore.keys import Partition
from redisstore.sync.base import Complete

_log = logging.getLogger(__name__)


class ClaimTimers(FreshAfterFork):
    """Recovers the turns of a partition some time after a lane of it was handed over."""

    def __init__(self, complete: Complete) -> None:
        self._complete = complete
        self._closed = False
        super().__init__()

    def _start_afresh(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may close what it has interrupted
        self._timers: dict[Partition, threading.Timer] = {}
        self._handed_since: set[Partition] = set()

    def expect_claim(self, home: Partition) -> None:
        """Take in that a lane of this partition was handed over."""
        with self._lock:
            if self._closed:
                return
            if home in self._timers:
                self._handed_since.add(home)
                return
            timer = threading.Timer(CLAIM_SECONDS + LOOK_SLACK, self._recover, (home,))
            timer.daemon = True
            self._timers[home] = timer
        timer.start()

    def close(self) -> None:
        """Expect no claims any more."""
        with self._lock:
            self._closed = True
            timers = list(self._timers.values())
            self._timers.clear()
        for timer in timers:
            timer.cancel()

    def _recover(self, home: Partition) -> None:
        with self._lock:
            if self._timers.pop(home, None) is None:
                return  # closed
            again = home in self._handed_since
            self._handed_since.discard(home)
        try:
            found: Recovered = self._complete(lambda c: leases.recover(c, home))
            again |= found.handed
        except RedisStoreError as failure:
            if self._closed:
                return
            _log.warning("a lane that was handed over may be unclaimed: %s", failure)
            again = True
        if again:
            self.expect_claim(home)
