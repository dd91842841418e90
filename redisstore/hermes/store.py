"""The gateway's session store, with its sessions in Redis.

``making`` puts it before the store of whichever version runs. What that does with its file is
replaced; what it does with transcripts, keys and policies stays its own.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from redisstore.errors import RedisStoreError, StaleWrite
from redisstore.hermes.continuing import Continuing
from redisstore.hermes.conversion import from_override, to_source
from redisstore.hermes.entries import Entries
from redisstore.hermes.live import link_of
from redisstore.hermes.records import Records
from redisstore.hermes.settings import Settings, told_where
from redisstore.keys import SessionId, SessionKey
from redisstore.sync.store import SessionStore

if TYPE_CHECKING:
    from redisstore.entry import SessionEntry
    from redisstore.hermes.plugin import Plugin

_CLEARED_BY_END = {"was_auto_reset", "auto_reset_reason", "reset_had_activity", "is_fresh_reset"}
_log = logging.getLogger(__name__)


class SharedSessions(Continuing):
    """What stands before the gateway's own store; its methods are named and answered as there."""

    plugin: Plugin

    def __init__(
        self,
        sessions_dir: Path,
        config: Any,
        has_active_processes_fn: Any = None,
        **more: Any,
    ) -> None:
        self._view: Entries | None = None
        base: Any = super()
        base.__init__(sessions_dir, config, has_active_processes_fn=has_active_processes_fn, **more)
        self.config = config
        # The gateway saves with the lock held and without.
        self._lock = threading.RLock()
        self._loaded = True
        try:
            settings = Settings.of_gateway(config)
            self.shared = SessionStore.from_url(config=settings.store)
            self.shared.layout()
        except (RedisStoreError, ValueError) as error:
            _refuse(error)
        self._recovers = settings.recover
        self._view = self._make_view()
        self._records = Records(
            getattr(self, "_db", None), getattr(self, "_record_gateway_session_peer", None)
        )
        self.has_processes = has_active_processes_fn
        _log.info("%s", told_where(settings))
        self.plugin.opened(self)

    def _make_view(self) -> Entries:
        raise NotImplementedError

    @property
    def _entries(self) -> Any:
        return self._view if self._view is not None else {}

    @_entries.setter
    def _entries(self, _: object) -> None:
        if self._view is not None:
            self._view.clear()

    @property
    def _known(self) -> Entries:
        if self._view is None:
            raise RuntimeError("the store is not open yet")
        return self._view

    # Nothing is loaded, and saving writes what was changed.

    def _ensure_loaded(self) -> None:
        """Do nothing: the sessions are in Redis."""

    def _ensure_loaded_locked(self) -> None:
        """Do nothing: the sessions are in Redis."""

    def _save(self) -> None:
        """Write what was changed in entries."""
        self._known.save()

    def _save_entries(self) -> None:
        """Write what was changed in entries."""
        self._known.save()

    # The sessions of messages

    def get_or_create_session(self, source: Any, force_new: bool = False) -> Any:
        """Return the session of a message; Redis decides, then the records are told."""
        key = str(self._generate_session_key(source))
        begun = None if force_new else self.plugin.turns.resolved(key)
        if begun is not None:
            stored, created = begun.entry, begun.created
        else:
            self._known.save_of(key)
            stored = self.shared.get_or_create_session(
                to_source(source), force_new=force_new, session_key=SessionKey(key)
            )
            known = self._known.session_id(key)
            created = stored.created_at == stored.updated_at and stored.session_id != known
        entry = self._known.take(stored)
        if not created:
            return self._alive(entry, source)
        if stored.was_auto_reset and stored.previous_session_id is not None:
            ended = self._tip(stored.previous_session_id)
            self._records.end(ended, "session_reset", stored.auto_reset_reason)
        elif not force_new and self._recovers and (found := self._recoverable(entry, source)):
            return self._revived(entry, found)
        self._records.begin(entry, source)
        return entry

    def update_session(self, session_key: str, last_prompt_tokens: int | None = None) -> None:
        """Record activity. In a turn it is written with the turn's end, in one call."""
        entry = self._known.get(session_key)
        if entry is None:
            return
        if self.plugin.turns.note_tokens(session_key, last_prompt_tokens):
            if last_prompt_tokens is not None:
                entry.__dict__["last_prompt_tokens"] = last_prompt_tokens
            if link := link_of(entry):
                link.changed -= _CLEARED_BY_END
        else:
            self._update(entry, last_prompt_tokens)
        self._save()
        self._records.tell_peer(entry, entry.origin)

    def _update(self, entry: Any, last_prompt_tokens: int | None) -> None:
        try:
            stored = self.shared.update_session(
                SessionKey(entry.session_key),
                last_prompt_tokens,
                if_session_id=SessionId(entry.session_id),
            )
        except RedisStoreError as failure:  # what it is about has been answered
            _log.warning("the activity of %s is not recorded: %s", entry.session_key, failure)
        else:
            if stored is not None:
                self._known.take(stored)

    def reset_session(self, session_key: str, display_name: str | None = None) -> Any:
        """Start a session anew; ``None`` for an unknown key."""
        self._known.save_of(session_key)
        self.plugin.turns.note_bound_anew(session_key)
        stored = self.shared.reset_session(SessionKey(session_key), display_name)
        if stored is None:
            return None
        entry = self._known.take(stored)
        if stored.previous_session_id is not None:
            self._records.end(stored.previous_session_id, "session_reset")
        if entry.origin is not None:
            self._records.begin(entry, entry.origin)
        return entry

    def switch_session(self, session_key: str, target_session_id: str) -> Any:
        """Bind a key to a given conversation; ``None`` for an unknown key."""
        self._known.save_of(session_key)
        before = self.shared.get_session(SessionKey(session_key))
        if before is None or before.session_id == target_session_id:
            return None if before is None else self._known.take(before)
        self.plugin.turns.note_bound_anew(session_key)
        stored = self.shared.switch_session(SessionKey(session_key), SessionId(target_session_id))
        if stored is None:
            return None
        entry = self._known.take(stored)
        self._records.end(before.session_id, "session_switch", "session_switch")
        self._records.reopen(target_session_id)
        self._records.tell_peer(entry, entry.origin)
        return entry

    # Marks

    def suspend_session(self, session_key: str) -> bool:
        """Make the next message start anew; false for an unknown key."""
        done = self.shared.suspend_session(SessionKey(session_key))
        self._known.refreshed(session_key)
        return done

    def mark_resume_pending(self, session_key: str, reason: str = "restart_timeout") -> bool:
        """Mark a session as interrupted; false if it is suspended or unknown."""
        self._known.save_of(session_key)
        done = self.shared.mark_resume_pending(SessionKey(session_key), reason)
        self._known.refreshed(session_key)
        return done

    def clear_resume_pending(self, session_key: str) -> bool:
        """Take the mark off; true if there was one. In a turn, the turn's end takes it off."""
        in_turn = self.plugin.turns.note_success(session_key)
        entry = self._known.get(session_key)
        if entry is None or not entry.resume_pending:
            return False
        if not in_turn:
            self.shared.clear_resume_pending(SessionKey(session_key))
            self._known.refreshed(session_key)
        return True

    def set_model_override(self, session_key: str, override: dict[str, str] | None) -> None:
        """Set or clear the model of a session."""
        self.shared.set_model_override(SessionKey(session_key), from_override(override))
        self._known.refreshed(session_key)

    def close_expired(self, session_key: str, session_id: str) -> None:
        """Do what belongs to the end of a conversation that has expired."""
        with contextlib.suppress(StaleWrite):
            self.shared.set_model_override(
                SessionKey(session_key), None, if_session_id=SessionId(session_id)
            )
        self._records.expire(session_id)

    def get_model_override(self, session_key: str) -> dict[str, str] | None:
        """Return the model of a session, or ``None``."""
        entry = self._known.get(session_key)
        return dict(entry.model_override) if entry is not None and entry.model_override else None

    # Looking

    def peek_session_id(self, session_key: str) -> str | None:
        """Return the conversation that a key is bound to."""
        entry = self._known.get(session_key) if session_key else None
        return entry.session_id if entry is not None else None

    def lookup_by_session_id(self, session_id: str) -> Any:
        """Return the session of a conversation, or ``None``."""
        stored = self.shared.lookup_by_session_id(SessionId(session_id)) if session_id else None
        return self._known.take(stored) if stored else None

    def list_sessions(self, active_minutes: int | None = None) -> list[Any]:
        """Return all sessions, or those lately active, newest first."""
        found: list[SessionEntry] = list(self.shared.list_sessions(active_minutes=active_minutes))
        return [self._known.take(stored) for stored in found]

    # Many at once

    def prune_old_entries(self, max_age_days: int | None) -> int:
        """Drop sessions without activity for so many days; none for 0 or less."""
        if max_age_days is None or max_age_days <= 0:
            return 0
        self._save()
        pruned = int(self.shared.prune_old_entries(max_age_days))
        self._known.look_again()
        return pruned

    def suspend_recently_active(self, max_age_seconds: int = 120) -> int:  # noqa: ARG002 - the gateway's
        """Mark sessions whose turn was cut off, and no other; return how many were found now.

        The gateway marks all that was active lately, for it can't tell what it was busy with. Here
        a turn tells: whoever finds it cut off marks its session, this gateway or another.
        """
        return self.shared.recover_turns()

    if TYPE_CHECKING:

        def _generate_session_key(self, source: Any) -> str: ...


def _refuse(error: Exception) -> NoReturn:
    """End the gateway with one line; some versions start in a way that loses an exception's."""
    line = "; ".join(f"redisstore: the gateway can't start: {error}".split("\n"))
    _log.critical("%s", line)
    streams = (getattr(handler, "stream", None) for handler in logging.getLogger().handlers)
    if not any(stream in {sys.stderr, sys.stdout} for stream in streams):
        print(line, file=sys.stderr, flush=True)
    raise SystemExit(1) from error
