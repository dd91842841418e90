"""What a session goes on with, by what the gateway's own database says of its conversation.

From 0.18 on the gateway asks that at each message: whether its transcript was compressed and has
another id now, and whether its row was closed. Older versions don't, and have no such methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisstore.calls.amendments import Amendments
from redisstore.hermes.conversion import to_source
from redisstore.hermes.entries import Entries
from redisstore.hermes.records import Records
from redisstore.keys import SessionKey
from redisstore.sync.store import SessionStore

if TYPE_CHECKING:
    from redisstore.hermes.plugin import Plugin


class Continuing:
    """The part of the store that looks whether a session can go on as it is."""

    shared: SessionStore
    plugin: Plugin
    _records: Records

    @property
    def _known(self) -> Entries:
        raise NotImplementedError

    def _alive(self, entry: Any, source: Any) -> Any:
        """Return an entry whose conversation the records know as living, under whichever id."""
        if (tip := self._tip(entry.session_id)) != entry.session_id:
            return self._gone_on(entry, tip)
        is_ended = getattr(self, "_is_session_ended_in_db", None)
        if is_ended is None or not is_ended(entry.session_id):
            return entry
        if found := self._recoverable(entry, source):
            return self._revived(entry, found)
        key = SessionKey(entry.session_key)
        self.plugin.turns.note_bound_anew(key)
        renewed = self._known.take(
            self.shared.get_or_create_session(to_source(source), force_new=True, session_key=key)
        )
        self._records.begin(renewed, source)
        return renewed

    def _tip(self, session_id: str) -> str:
        """Return the id under which a conversation goes on after its transcript was compressed."""
        find = getattr(self, "_compression_tip_for_session_id", None)
        return str(find(session_id)) if find is not None else session_id

    def _recoverable(self, entry: Any, source: Any) -> Any:
        """Return the session that the records would go on with, opened again, or ``None``."""
        recover = getattr(self, "_recover_session_from_db", None)
        if recover is None:
            return None
        return recover(session_key=entry.session_key, source=source, now=entry.updated_at)

    def _revived(self, entry: Any, found: Any) -> Any:
        """Bind a session to a conversation from the records, of which little else is known."""
        for name in Amendments.__annotations__:
            if hasattr(entry, name):
                setattr(entry, name, getattr(found, name))
        # It is not taken for a new one, though the lane may just have been bound.
        entry.__dict__["created_at"] = found.created_at
        self._known.save()
        return entry

    def _gone_on(self, entry: Any, session_id: str) -> Any:
        """Bind a session to the id under which its conversation goes on."""
        entry.session_id = session_id
        self._known.save()
        return entry
