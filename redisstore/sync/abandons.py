"""What was begun in vain, for threads: given up aside, so that nobody waits twice as long."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from redisstore.calls.turns import Request
from redisstore.fork import FreshAfterFork
from redisstore.sync.keeper import LONGEST_JOIN

MOST_PENDING = 1000
"""Turns that may await it; in a long outage the oldest are left to lapse."""


class Abandons(FreshAfterFork):
    """Gives turns up one after the other, in one thread that runs while there are any."""

    def __init__(self, abandon: Callable[[Request], bool]) -> None:
        self._abandon = abandon
        """Says whether Redis was reached."""
        self._closed = False
        super().__init__()

    def _start_afresh(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may close what it has interrupted
        self._pending: deque[Request] = deque(maxlen=MOST_PENDING)
        self._thread: threading.Thread | None = None

    def add(self, wanted: Request) -> None:
        """Give this turn up, some time soon."""
        with self._lock:
            if self._closed:
                return
            self._pending.append(wanted)
            if self._thread is not None:
                return
            self._thread = threading.Thread(
                target=self._run, name="redisstore-abandons", daemon=True
            )
            self._thread.start()

    def close(self, others: Iterable[Request]) -> None:
        """Give up what is pending and these others, for as long as Redis can be reached."""
        with self._lock:
            self._closed = True
            self._pending.extend(others)
            thread = self._thread
        while wanted := self._next():
            self._give_up(wanted)
        if thread is not None:
            thread.join(LONGEST_JOIN)

    def _run(self) -> None:
        while wanted := self._next():
            self._give_up(wanted)

    def _next(self) -> Request | None:
        with self._lock:
            if self._pending:
                return self._pending.popleft()
            self._thread = None
            return None

    def _give_up(self, wanted: Request) -> None:
        if not self._abandon(wanted) and self._closed:
            with self._lock:
                self._pending.clear()  # there is no time to wait for each: they lapse
