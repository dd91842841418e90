"""What the gateway's own database is told of its sessions, in the way of each version.

That database, ``state.db``, has the transcripts. It is this replica's, unless replicas share it;
who is bound to which conversation is decided in Redis before anything is written here.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)


class Records:
    """The sessions in a gateway's database; ``None`` for it: there is none, nothing is written."""

    def __init__(self, database: Any, record_peer: Callable[..., None] | None) -> None:
        self._database = database
        self._record_peer = record_peer

    def begin(self, entry: Any, source: Any) -> None:
        """Open the row of a new session; where it is there already, nothing happens."""
        facts = {
            "user_id": source.user_id,
            "session_key": entry.session_key,
            "chat_id": source.chat_id,
            "chat_type": source.chat_type,
            "thread_id": source.thread_id,
            "profile_name": getattr(source, "profile", None),
        }
        known = self._columns()
        told = {name: value for name, value in facts.items() if name in known}
        self._try("create_session", entry.session_id, source.platform.value, **told)
        self.tell_peer(entry, source)

    def tell_peer(self, entry: Any, source: Any) -> None:
        """Say whose session it is, where the version keeps that."""
        if self._record_peer is not None and source is not None:
            self._record_peer(
                entry.session_id, entry.session_key, source, display_name=entry.display_name
            )

    def end(self, session_id: str, reason: str, detail: str | None = None) -> None:
        """Close the row of a session; ``detail`` is for versions that tell reasons apart."""
        if hasattr(self._database, "promote_to_session_reset"):
            self._try("promote_to_session_reset", session_id, detail or reason)
        else:
            self._try("end_session", session_id, reason)

    def expire(self, session_id: str) -> None:
        """Note that a session has expired, in versions that do, and close its row."""
        for method, detail in (
            ("set_expiry_finalized", True),
            ("promote_to_session_reset", "session_reset"),
        ):
            if hasattr(self._database, method):
                self._try(method, session_id, detail)

    def reopen(self, session_id: str) -> None:
        """Open the row of a session again."""
        self._try("reopen_session", session_id)

    def _columns(self) -> set[str]:
        insert = getattr(self._database, "_insert_session_row", None)
        return set(inspect.signature(insert).parameters) if insert else {"user_id"}

    def _try(self, method: str, *args: Any, **kwargs: Any) -> None:
        if self._database is None:
            return
        try:
            getattr(self._database, method)(*args, **kwargs)
        except Exception:  # noqa: BLE001 - as the gateway: its records must not stop a message
            _log.warning("the gateway's database: %s of %s failed", method, args[0], exc_info=True)
