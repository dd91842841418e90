"""Process holds that renew themselves, for threads."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from redisstore.calls.holds import Hold
from redisstore.errors import RedisStoreError

if TYPE_CHECKING:
    from redisstore.sync.holds import HoldOperations

_log = logging.getLogger(__name__)
LONGEST_RETRY = 1.0
"""Seconds until the next try after a renewal that failed."""

OnLost = Callable[["ProcessHold"], None]


class ProcessHold:
    """A hold on a session for as long as a ``with`` block runs; see ``SessionStore.hold_process``.

    ``lost`` turns true when a renewal finds the session deleted; ``on_lost`` is then called in
    the renewing thread. A hold that lapsed while Redis was away is taken again by the next renewal.
    """

    def __init__(
        self, store: HoldOperations, keeper: HoldKeeper, hold: Hold, on_lost: OnLost | None
    ) -> None:
        self.session_key, self.process_id = hold
        self.lapses_at: datetime | None = None
        self.lost = False
        self._store = store
        self._keeper = keeper
        self._hold = hold
        self._on_lost = on_lost

    def __enter__(self) -> Self:
        self.lapses_at = self._store.take_hold(*self._hold)
        self._keeper.keep(self._hold, self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._keeper.drop(self._hold, self):
            return
        try:
            self._store.release_hold(*self._hold)
        except RedisStoreError as failure:
            _log.warning("%s was not released and will lapse: %s", self, failure)

    def renewed(self, lapses_at: datetime | None) -> None:
        """Take in what a renewal found; ``None``: the session is gone."""
        if lapses_at is not None:
            self.lapses_at = lapses_at
        elif not self.lost:
            self.lost = True
            _log.warning("%s is lost: its session was deleted", self)
            if self._on_lost is not None:
                try:
                    self._on_lost(self)
                except Exception:  # noqa: BLE001 - the renewing thread serves other holds too
                    _log.exception("the on_lost callback of %s failed", self)

    def __repr__(self) -> str:
        return f"<hold of process {self.process_id!r} on {self.session_key!r}>"


class HoldKeeper:
    """Renews all holds of a store together, in one thread that runs while there are any."""

    def __init__(
        self, renew: Callable[[Sequence[Hold]], Mapping[Hold, datetime | None]], ttl: float
    ) -> None:
        self._renew = renew
        self._interval = ttl / 3
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._process = os.getpid()
        self._held: dict[Hold, list[ProcessHold]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._renewing = threading.Lock()
        """Held during a renewal, so that none overtakes a release and takes the hold again."""

    def keep(self, hold: Hold, holder: ProcessHold) -> None:
        """Renew a hold from now on."""
        if self._process != os.getpid():
            # A fork has neither the thread nor a claim to the parent's holds, and may have
            # inherited its locks locked.
            self._start_afresh()
        with self._lock:
            self._held.setdefault(hold, []).append(holder)
            if self._thread is None:
                self._stopped = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._stopped,), name="redisstore-holds", daemon=True
                )
                self._thread.start()

    def drop(self, hold: Hold, holder: ProcessHold) -> bool:
        """Stop renewing for one holder; true if it was the last of this hold, and not lost."""
        with self._lock:
            holders = self._held.get(hold, [])
            if holder not in holders:
                return False
            holders.remove(holder)
            if holders:
                return False
            del self._held[hold]
        with self._renewing:
            return True

    def close(self) -> None:
        """Stop renewing."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._held.clear()
            self._stopped.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

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
            try:
                found = self._renew(held) if held else {}
            except RedisStoreError as failure:
                _log.warning("%d process holds were not renewed: %s", len(held), failure)
                return False
            except Exception:  # noqa: BLE001 - nobody else would see it, and the holds would lapse
                _log.exception("%d process holds were not renewed", len(held))
                return False
            with self._lock:
                holders = [(h, found[hold]) for hold in found for h in self._held.get(hold, [])]
                for hold, lapses_at in found.items():
                    if lapses_at is None:
                        self._held.pop(hold, None)
        for holder, lapses_at in holders:
            holder.renewed(lapses_at)
        return True
