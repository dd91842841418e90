"""What renews holds and turns while they last, for threads."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from redisstore.errors import RedisStoreError, StoreClosed
from redisstore.fork import FreshAfterFork

KeyT = TypeVar("KeyT")
LONGEST_RETRY = 1.0
"""Seconds until the next try after a renewal that failed."""
LONGEST_JOIN = 5.0
"""Seconds that closing waits for a renewal that is under way.

A signal's handler may close what has been interrupted with the lock that the renewal waits for.
"""

_log = logging.getLogger(__name__)


class Kept(Protocol):
    """Something that is renewed; it is told what became of each renewal."""

    def renewed(self, lapses_at: datetime | None, asked_at: float, /) -> None:
        """Take in when it lapses now (``None``: it is lost), asked for at that monotonic time."""

    def not_renewed(self) -> None:
        """Take in that Redis was not reached."""


class Keeper(FreshAfterFork, Generic[KeyT]):
    """Renews all that a store holds of one kind, together, in a thread that runs while it does."""

    def __init__(
        self,
        what: str,
        renew: Callable[[Sequence[KeyT]], Mapping[KeyT, datetime | None]],
        ttl: float,
    ) -> None:
        self._what = what
        self._renew = renew
        self._interval = ttl / 3
        self._closed = False
        super().__init__()

    def _start_afresh(self) -> None:
        self._held: dict[KeyT, list[Kept]] = {}
        self._lock = threading.RLock()  # a signal's handler may close what it has interrupted
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._renewing = threading.Lock()
        """Held during a renewal, so that none overtakes a release and takes it again."""

    def keep(self, key: KeyT, holder: Kept) -> None:
        """Renew for a holder from now on, until this is closed."""
        with self._lock:
            if self._closed:
                return
            self._held.setdefault(key, []).append(holder)
            if self._thread is None:
                self._stopped = threading.Event()
                self._thread = threading.Thread(
                    target=self._run,
                    args=(self._stopped,),
                    name=f"redisstore-{self._what}",
                    daemon=True,
                )
                self._thread.start()

    def drop(self, key: KeyT, holder: Kept) -> bool:
        """Stop renewing for one holder; true if it was the last of its key, and not lost."""
        if not self.forget(key, holder):
            return False
        with self._renewing:
            return True

    def forget(self, key: KeyT, holder: Kept) -> bool:
        """Do the same, without waiting for a renewal that is under way."""
        with self._lock:
            holders = self._held.get(key, [])
            if holder not in holders:
                return False
            holders.remove(holder)
            if not holders:
                del self._held[key]
            return not holders

    def close(self) -> None:
        """Stop renewing, for good."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
            self._held.clear()
            if thread is not None:
                self._stopped.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(LONGEST_JOIN)

    def _run(self, stopped: threading.Event) -> None:
        pause = self._interval
        while not stopped.wait(pause):
            pause = self._interval if self._renew_all() else min(self._interval, LONGEST_RETRY)
            with self._lock:
                if not self._held and not stopped.is_set():
                    self._thread = None
                    return

    def _renew_all(self) -> bool:
        with self._renewing:
            with self._lock:
                held = list(self._held)
            asked_at = time.monotonic()
            found = self._ask(held) if held else {}
            with self._lock:
                holders = [(h, key) for key in held for h in self._held.get(key, [])]
                for key, lapses_at in (found or {}).items():
                    if lapses_at is None:
                        self._held.pop(key, None)
        for holder, key in holders:
            if found is None:
                holder.not_renewed()
            elif key in found:
                holder.renewed(found[key], asked_at)
        return found is not None

    def _ask(self, held: Sequence[KeyT]) -> Mapping[KeyT, datetime | None] | None:
        try:
            return self._renew(held)
        except StoreClosed:
            pass  # whoever closed it knows
        except RedisStoreError as failure:
            _log.warning("%d %s were not renewed: %s", len(held), self._what, failure)
        except Exception:  # noqa: BLE001 - nobody else would see it, and all would lapse
            _log.exception("%d %s were not renewed", len(held), self._what)
        return None
