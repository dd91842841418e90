"""What the gateway knows as ``_entries``: live objects for the sessions in Redis.

It looks like the dictionary that it replaces, and is a cache. Each session has one object for as
long as it is bound to its conversation; another conversation is another object, as in the gateway.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, cast
from weakref import WeakValueDictionary

from redisstore.calls.amendments import Amendments
from redisstore.calls.call import HasLease
from redisstore.entry import SessionEntry
from redisstore.errors import RedisStoreError, StaleWrite, TurnLost
from redisstore.hermes.conversion import Converter, to_store
from redisstore.hermes.live import Link, link_of, linked, live_class
from redisstore.keys import SessionId, SessionKey
from redisstore.sync.store import SessionStore

FRESH = 1.0
"""Seconds for which a session that was looked at is not asked for again, there or not."""
_AWAY = 5.0
"""Seconds for which nobody who merely reads waits again for a Redis that did not answer."""
_MOST_CACHED = 10_000
_log = logging.getLogger(__name__)


class Entries(MutableMapping[str, Any]):
    """The sessions of the store, by session key. Removing one from here forgets it, no more."""

    def __init__(
        self,
        store: SessionStore,
        converter: Converter,
        entry_class: type[Any],
        turn_on: Callable[[str], HasLease | None],
    ) -> None:
        self._store = store
        self._turn_on = turn_on
        self._converter = converter
        self._class = live_class(entry_class, converter.fields)
        self._guard = threading.RLock()
        self._cache: OrderedDict[str, Any] = OrderedDict()
        # What is no longer cached has its object for as long as anybody else has that in hand.
        self._alive: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._looked: OrderedDict[str, float] = OrderedDict()
        self._changed: dict[int, Any] = {}
        self._only: tuple[str, ...] | None = None
        self._away_until = 0.0

    def take(self, stored: SessionEntry) -> Any:
        """Return the live entry of a session, brought up to what is stored."""
        with self._guard:
            entry = self._alive.get(stored.session_key)
            link = link_of(entry) if entry is not None else None
            if link is None or not _is_same(link.stored, stored):
                entry = self._new(stored)
            elif stored.version >= link.stored.version:
                self._bring_up(entry, link, stored)
            self._keep(stored.session_key, entry)
            return entry

    def stored(self, key: str) -> SessionEntry | None:
        """Return what was last known to be stored for a key; asks nobody."""
        entry = self._alive.get(key)
        link = link_of(entry) if entry is not None else None
        return link.stored if link else None

    def refreshed(self, key: str) -> Any:
        """Ask the store for a session, and return its live entry or ``None``."""
        stored = self._store.get_session(SessionKey(key))
        if stored is not None:
            return self.take(stored)
        with self._guard:
            self._cache.pop(key, None)
            self._alive.pop(key, None)
            self._note_look(key)
        return None

    def save(self) -> None:
        """Write what was changed in entries since the last time: those fields, nothing else.

        What belongs to a conversation that has ended meanwhile is dropped. What can't be written
        now is written with the next save: whoever saves has just done something, and can't undo it.
        """
        with self._guard:
            changed = list(self._changed.values())
            self._changed.clear()
        for entry in changed:
            self._try_to_save(entry)

    def save_of(self, key: str) -> None:
        """Write what was changed in the entry of a key: it is about to be decided upon."""
        with self._guard:
            entry = self._alive.get(key)
            is_changed = self._changed.pop(id(entry), None) is not None
        if is_changed:
            self._try_to_save(entry)

    def _try_to_save(self, entry: Any) -> None:
        try:
            self._save(entry)
        except ValueError as wrong:  # as all errors that name a field are
            _log.error("what was changed in %s can't be stored: %s", entry.session_key, wrong)
            if link := link_of(entry):
                link.changed.clear()
        except RedisStoreError as failure:
            _log.warning("%s is not saved yet: %s", entry.session_key, failure)
            with self._guard:
                self._changed.setdefault(id(entry), entry)

    def _save(self, entry: Any) -> None:
        link = link_of(entry)
        if link is None:
            return
        with self._guard:
            names, key, old_id = (
                set(link.changed),
                SessionKey(entry.session_key),
                link.stored.session_id,
            )
            values = {name: to_store(name, getattr(entry, name)) for name in names}
        suspended, turn = values.pop("suspended", None), self._turn_on(key)
        for name in ("created_at", "updated_at", "session_key", "platform", "chat_type", "origin"):
            values.pop(name, None)  # these are the store's to set
        try:
            if suspended:
                self._store.suspend_session(key, if_session_id=old_id, if_turn=turn)
            stored = link.stored
            if values:
                changes = cast("Amendments", values)
                stored = (
                    self._store.amend_session(key, changes, if_session_id=old_id, if_turn=turn)
                    or stored
                )
        except (StaleWrite, TurnLost) as late:
            _log.info("changes of %s to %s come too late: %s", sorted(names), key, late)
            stored = link.stored
        with self._guard:
            link.changed -= names
            if stored.version > link.stored.version:
                self._bring_up(entry, link, stored)

    def _new(self, stored: SessionEntry) -> Any:
        entry = self._class(**self._converter.values(stored))
        return linked(entry, Link(stored, self._note_change))

    def _bring_up(self, entry: Any, link: Link, stored: SessionEntry) -> None:
        """Put into an entry what has changed in the store, but for what was changed here."""
        before, now = self._converter.values(link.stored), self._converter.values(stored)
        for name, value in now.items():
            if name not in link.changed and before[name] != value:
                entry.__dict__[name] = value  # not noted as a change
        link.stored = stored

    def _note_change(self, entry: Any, name: str) -> None:
        with self._guard:
            if link := link_of(entry):
                link.changed.add(name)
            self._changed[id(entry)] = entry

    def _keep(self, key: str, entry: Any) -> None:
        self._cache[key] = self._alive[key] = entry
        self._cache.move_to_end(key)
        if len(self._cache) > _MOST_CACHED:
            self._cache.popitem(last=False)
        self._note_look(key)

    def _note_look(self, key: str) -> None:
        self._looked[key] = time.monotonic()
        self._looked.move_to_end(key)
        if len(self._looked) > _MOST_CACHED:
            self._looked.popitem(last=False)

    # The mapping

    def get(self, key: str, default: Any = None) -> Any:
        """Return the live entry of a key; as it was up to a second ago."""
        with self._guard:
            entry, now = self._cache.get(key), time.monotonic()
            # In its turn a session is ours alone, but for a reset, of which an event tells.
            trusted = now < self._away_until or self._turn_on(key) is not None
            known = entry is not None and trusted
            if known or now - self._looked.get(key, -FRESH) < FRESH:
                return default if entry is None else entry
        try:
            entry = self.refreshed(key)
        except RedisStoreError as failure:
            if entry is None:
                raise
            # Whoever reads here is asked for no decision; the next message is refused if need be.
            _log.warning("sessions are as they were: %s", failure)
            self._away_until = time.monotonic() + _AWAY
        return default if entry is None else entry

    def __getitem__(self, key: str) -> Any:
        entry = self.get(key)
        if entry is None:
            raise KeyError(key)
        return entry

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.get(key) is not None

    def is_interrupted(self, key: str) -> bool:
        """Whether a session waits to be gone on with."""
        entry = self.refreshed(key)
        return bool(entry is not None and entry.resume_pending)

    @contextmanager
    def only(self, keys: Iterable[str]) -> Iterator[None]:
        """Have it look, meanwhile, as if these sessions were all, to whoever goes over them."""
        self._only = tuple(keys)
        try:
            yield
        finally:
            self._only = None

    def __iter__(self) -> Iterator[str]:
        if self._only is not None:
            yield from self._only
            return
        for stored in self._store.list_sessions(on_damaged=_log_damaged):
            self.take(stored)
            yield stored.session_key

    def __len__(self) -> int:
        return self._store.count_sessions()

    def __setitem__(self, key: str, entry: Any) -> None:
        raise TypeError(f"{key} is bound by the store: use reset_session or switch_session")

    def __delitem__(self, key: str) -> None:
        with self._guard:
            self._looked.pop(key, None)
            del self._cache[key]

    def clear(self) -> None:
        """Forget all that is cached."""
        with self._guard:
            self._cache.clear()
            self._looked.clear()

    def look_again(self) -> None:
        """Ask for each session anew when it is looked at next."""
        with self._guard:
            self._looked.clear()

    def session_id(self, key: str) -> SessionId | None:
        """Return the conversation that a key was last known to be bound to."""
        stored = self.stored(key)
        return stored.session_id if stored else None


def _is_same(known: SessionEntry, stored: SessionEntry) -> bool:
    """Whether it is what is known, perhaps changed; not if it was deleted and made again."""
    return (known.session_id, known.created_at) == (stored.session_id, stored.created_at)


def _log_damaged(damaged: RedisStoreError) -> None:
    _log.warning("passed over: %s", damaged)
