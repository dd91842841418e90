"""Background processes of the gateway, as holds: their sessions are neither reset nor pruned.

The gateway knows for its own processes whether a session has one that counts. So there is one hold
a replica and session, and it lasts for as long as the gateway says yes.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from redisstore.errors import NoSuchSession, RedisStoreError
from redisstore.keys import SessionKey
from redisstore.sync.store import SessionStore

_log = logging.getLogger(__name__)


class Holds:
    """Keeps holds in step with the gateway's processes, in a thread of its own."""

    def __init__(self, store: SessionStore, is_active: Callable[[str], bool]) -> None:
        self._store = store
        self._is_active = is_active
        self._changed: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._held: set[str] = set()
        self._name = f"gateway {store.config.replica}"
        self._every = store.config.process_hold_ttl / 3
        self._thread = threading.Thread(target=self._run, name="redisstore-holds", daemon=True)
        self._thread.start()

    def note(self, session_key: str | None) -> None:
        """Take in that a process of a session has begun or ended; asks nobody here."""
        if session_key:
            self._changed.put(session_key)

    def close(self) -> None:
        """Give all holds back."""
        self._changed.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                key = self._changed.get(timeout=self._every)
            except queue.Empty:
                for held in tuple(self._held):
                    self._settle(held)
                continue
            if key is None:
                break
            self._settle(key)
        for held in tuple(self._held):
            self._release(held)

    def _settle(self, key: str) -> None:
        try:
            active = bool(self._is_active(key))
        except Exception:  # noqa: BLE001 - what can't be told counts as active
            _log.warning("whether %s has a process is not known", key, exc_info=True)
            active = True
        if not active:
            self._release(key)
            return
        try:
            self._store.take_hold(SessionKey(key), self._name)
            self._held.add(key)
        except NoSuchSession:
            self._held.discard(key)
        except RedisStoreError as failure:
            _log.warning("the process of %s is not held: %s", key, failure)
            self._held.add(key)

    def _release(self, key: str) -> None:
        if key not in self._held:
            return
        try:
            self._store.release_hold(SessionKey(key), self._name)
            self._held.discard(key)
        except RedisStoreError as failure:
            _log.warning("the hold of %s will lapse: %s", key, failure)
