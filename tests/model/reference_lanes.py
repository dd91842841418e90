"""The contract of the store in plain Python: one process, one dict, a clock that is told.

Written from the contract alone. Where it leaves a choice (the id of a new session, the order of
sessions that were active at the same moment) the caller passes in, or compares, what the store
chose.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from redisstore import (
    EntryTooLarge,
    ModelOverride,
    NoSuchSession,
    SessionEntry,
    SessionId,
    SessionKey,
    SessionResetPolicy,
    SessionSource,
    StaleWrite,
    StoreConfig,
    build_session_key,
)

from .times import last_moment, reason_to_reset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

LARGEST_COUNTER = 2**53
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
ALL_TOKENS = (*TOKENS, "total_tokens", "last_prompt_tokens")


class ReferenceLanes:
    """The sessions as they should be. ``now`` is the server's clock."""

    def __init__(self, config: StoreConfig, now: datetime) -> None:
        self.now = now
        self.entries: dict[SessionKey, SessionEntry] = {}
        self.holds: dict[SessionKey, dict[str, datetime]] = {}
        self.last_moments: dict[SessionKey, datetime | None] = {}
        self.used_ids: set[SessionId] = set()
        self.sharing: set[SessionKey] = set()
        """Lanes that are marked as perhaps not the only ones bound to their session id."""
        self.config = config
        self._zone = ZoneInfo(config.timezone)

    # One session

    def get_or_create(
        self, source: SessionSource, replica: str, fresh: SessionId, *, force_new: bool
    ) -> SessionEntry:
        """Resolve a message; ``fresh`` is the id to give to a new session."""
        key = build_session_key(source)
        policy = self.policy(source.platform, source.chat_type)
        old = self.entries.get(key)
        if old is None:
            return self.store(self._first(key, source, replica, fresh), policy)
        if force_new:
            return self.store(self._anew(old, fresh, replica=replica), policy)
        if reason := self._reset_reason(old, policy):
            flags = {
                "was_auto_reset": True,
                "auto_reset_reason": reason,
                "reset_had_activity": any(getattr(old, name) for name in ALL_TOKENS),
            }
            return self.store(self._anew(old, fresh, replica=replica, **flags), policy)
        return self.store(self._changed(old, active=True, replica=replica), policy)

    def update(
        self,
        key: SessionKey,
        replica: str,
        *,
        last_prompt_tokens: int | None,
        increments: Mapping[str, int],
        total_tokens: int | None,
        estimated_cost_usd: Decimal,
        cost_status: str | None,
    ) -> SessionEntry | None:
        """Record activity."""
        old = self.entries.get(key)
        if old is None:
            return None
        amounts = dict.fromkeys(TOKENS, 0) | dict(increments)
        amounts["total_tokens"] = sum(amounts.values()) if total_tokens is None else total_tokens
        changes: dict[str, Any] = {name: getattr(old, name) + n for name, n in amounts.items()}
        if max(changes.values()) > LARGEST_COUNTER:
            raise EntryTooLarge("counter", "too large")
        changes["estimated_cost_usd"] = old.estimated_cost_usd + estimated_cost_usd
        if last_prompt_tokens is not None:
            changes["last_prompt_tokens"] = last_prompt_tokens
        if cost_status is not None:
            changes["cost_status"] = cost_status
        policy = self.policy(old.platform, old.chat_type)
        return self.store(self._changed(old, active=True, replica=replica, **changes), policy)

    def suspend(self, key: SessionKey) -> bool:
        """Suspend a session."""
        return self._mark(key, suspended=True)

    def mark_resume_pending(self, key: SessionKey, reason: str) -> bool:
        """Mark a session as interrupted, unless it is suspended."""
        if key not in self.entries or self.entries[key].suspended:
            return False
        self.entries[key] = self._changed(
            self.entries[key],
            active=False,
            resume_pending=True,
            resume_reason=reason,
            last_resume_marked_at=self.now,
        )
        return True

    def clear_resume_pending(self, key: SessionKey) -> bool:
        """Take the mark off."""
        if key not in self.entries or not self.entries[key].resume_pending:
            return False
        return self._mark(key, resume_pending=False, resume_reason=None, last_resume_marked_at=None)

    def set_model_override(self, key: SessionKey, override: ModelOverride | None) -> bool:
        """Set or clear the model."""
        return self._mark(key, model_override=override)

    def reset(
        self, key: SessionKey, display_name: str | None, fresh: SessionId
    ) -> SessionEntry | None:
        """Start anew at the user's wish."""
        old = self.entries.get(key)
        if old is None:
            return None
        new = self._anew(old, fresh, replica=old.replica, is_fresh_reset=True)
        if display_name is not None:
            new = new.model_copy(update={"display_name": display_name})
        return self.store(new, self.policy(old.platform, old.chat_type))

    def switch(self, key: SessionKey, session_id: SessionId) -> SessionEntry | None:
        """Bind a lane to an id, used before or not."""
        old = self.entries.get(key)
        if old is None or old.session_id == session_id:
            return old
        self.used_ids.discard(session_id)
        shared = self.share(session_id, but_not=key) or self.config.partitions != 1
        new = self._anew(old, session_id, replica=old.replica)
        bound = self.store(new, self.policy(old.platform, old.chat_type))
        if shared:
            self.sharing.add(key)
        return bound

    def amend(self, key: SessionKey, **changes: Any) -> SessionEntry | None:
        """Put fields right; under another id it is the same conversation."""
        old = self.entries.get(key)
        if old is None or (new := old.model_copy(update=changes)) == old:
            return old
        if new.session_id != old.session_id:
            shared = self.share(new.session_id, but_not=key) or self.config.partitions != 1
            self.sharing = self.sharing - {key} | ({key} if shared else set())
            self.used_ids.add(new.session_id)
        if new.expiry_finalized != old.expiry_finalized:
            policy = self.policy(old.platform, old.chat_type)
            end = last_moment(policy, old.updated_at, self._zone)
            self.last_moments[key] = None if new.expiry_finalized else end
        self.entries[key] = self._changed(old, active=False, **changes)
        return self.entries[key]

    def share(self, session_id: SessionId, but_not: SessionKey | None = None) -> bool:
        """Mark who is bound to an id, and say whether there is anybody."""
        bound = [k for k, e in self.entries.items() if e.session_id == session_id and k != but_not]
        for key in bound:
            if key not in self.sharing:
                self.sharing.add(key)
                self.entries[key] = self._changed(self.entries[key], active=False)
        return bool(bound)

    def delete(self, key: SessionKey) -> bool:
        """Delete a session with its holds."""
        self.holds.pop(key, None)
        self.last_moments.pop(key, None)
        self.sharing.discard(key)
        return self.entries.pop(key, None) is not None

    def demand(
        self, key: SessionKey, if_session_id: SessionId | None, if_version: int | None
    ) -> None:
        """Raise ``StaleWrite`` where a conditional write must not apply."""
        entry = self.entries.get(key)
        if entry is not None and (
            if_session_id not in {None, entry.session_id} or if_version not in {None, entry.version}
        ):
            raise StaleWrite("stale")

    # Holds

    def take_hold(self, key: SessionKey, process_id: str, ttl: timedelta) -> datetime:
        """Take or renew a hold."""
        if key not in self.entries:
            raise NoSuchSession(key)
        lapses_at = self.holds.setdefault(key, {})[process_id] = self.now + ttl
        return lapses_at

    def release_hold(self, key: SessionKey, process_id: str) -> bool:
        """Give a hold up."""
        found = process_id in self.live_holds(key)
        self.holds.get(key, {}).pop(process_id, None)
        return found

    def live_holds(self, key: SessionKey) -> dict[str, datetime]:
        """Return the holds that have not lapsed."""
        return {pid: at for pid, at in self.holds.get(key, {}).items() if at > self.now}

    # What the operations are made of

    def policy(self, platform: str | None, chat_type: str) -> SessionResetPolicy:
        """Look a policy up: by platform, else by chat type, else the default."""
        if platform in self.config.reset_by_platform:
            return self.config.reset_by_platform[platform]
        return self.config.reset_by_type.get(chat_type, self.config.default_reset_policy)

    def _reset_reason(self, entry: SessionEntry, policy: SessionResetPolicy) -> str | None:
        if entry.suspended:
            return "suspended"
        if self.live_holds(entry.session_key):
            return None
        if reason := reason_to_reset(policy, entry.updated_at, self.now, self._zone):
            return reason
        window = timedelta(seconds=self.config.resume_freshness_window)
        # A mark that came without its time (an import) is as old as the last activity.
        age = self.now - (entry.last_resume_marked_at or entry.updated_at)
        if entry.resume_pending and policy.mode != "none" and window and age > window:
            return "resume_pending_expired"
        return None

    def _first(
        self, key: SessionKey, source: SessionSource, replica: str, fresh: SessionId
    ) -> SessionEntry:
        return SessionEntry(
            session_key=key,
            session_id=self._fresh(fresh),
            created_at=self.now,
            updated_at=self.now,
            version=1,
            origin=source,
            display_name=source.chat_name,
            platform=source.platform,
            chat_type=source.chat_type,
            replica=replica,
        )

    def _anew(
        self, old: SessionEntry, session_id: SessionId, *, replica: str | None, **flags: Any
    ) -> SessionEntry:
        return SessionEntry(
            session_key=old.session_key,
            session_id=self._fresh(session_id),
            created_at=self.now,
            updated_at=max(self.now, old.updated_at),
            version=old.version + 1,
            origin=old.origin,
            display_name=old.display_name,
            platform=old.platform,
            chat_type=old.chat_type,
            replica=replica,
            previous_session_id=old.session_id,
            **flags,
        )

    def _fresh(self, session_id: SessionId) -> SessionId:
        assert session_id not in self.used_ids, "a new session got an id that was used before"
        return session_id

    def _changed(self, old: SessionEntry, *, active: bool, **changes: Any) -> SessionEntry:
        if active:
            changes["updated_at"] = max(self.now, old.updated_at)
            changes["expiry_finalized"] = False  # it will be due anew
        return old.model_copy(update={"version": old.version + 1, **changes})

    def _mark(self, key: SessionKey, **changes: Any) -> bool:
        old = self.entries.get(key)
        if old is not None and old.model_copy(update=changes) != old:
            self.entries[key] = self._changed(old, active=False, **changes)
        return old is not None

    def store(self, entry: SessionEntry, policy: SessionResetPolicy) -> SessionEntry:
        key = entry.session_key
        before = self.entries.get(key)
        if before is not None and before.session_id != entry.session_id:
            self.sharing.discard(key)
        self.entries[key] = entry
        self.used_ids.add(entry.session_id)
        self.last_moments[key] = last_moment(policy, entry.updated_at, self._zone)
        return entry
