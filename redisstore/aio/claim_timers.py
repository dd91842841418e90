"""Lanes that were handed over, for asyncio; see ``redisstore/sync/claim_timers.py``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from redisstore.aio.base import AsyncComplete
from redisstore.calls import leases
from redisstore.calls.turn_replies import Recovered
from redisstore.calls.turns import CLAIM_SECONDS, LOOK_SLACK
from redisstore.errors import RedisStoreError
from redisstore.keys import Partition

_log = logging.getLogger(__name__)


class AsyncClaimTimers:
    """Recovers the turns of a partition some time after a lane of it was handed over."""

    def __init__(
        self, complete: AsyncComplete, start: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self._complete = complete
        self._start = start
        """Makes a task of what a timer does."""
        self._closed = False
        self._timers: dict[Partition, asyncio.TimerHandle] = {}
        self._handed_since: set[Partition] = set()

    def expect_claim(self, home: Partition) -> None:
        """Take in that a lane of this partition was handed over."""
        if self._closed:
            return
        if home in self._timers:
            self._handed_since.add(home)
            return
        self._timers[home] = asyncio.get_running_loop().call_later(
            CLAIM_SECONDS + LOOK_SLACK, lambda: self._start(self._recover(home))
        )

    def close(self) -> None:
        """Expect no claims any more."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def _recover(self, home: Partition) -> None:
        self._timers.pop(home, None)
        again = home in self._handed_since
        self._handed_since.discard(home)
        try:
            found: Recovered = await self._complete(lambda c: leases.recover(c, home))
            again |= found.handed
        except RedisStoreError as failure:
            if self._closed:
                return
            _log.warning("a lane that was handed over may be unclaimed: %s", failure)
            again = True
        if again:
            self.expect_claim(home)
