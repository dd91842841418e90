"""The contract of the store in plain Python: operations that look at many sessions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from redisstore import Counts, SessionEntry, SessionId, SessionKey

from .reference_lanes import ReferenceLanes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

FURTHEST_IMPORT = timedelta(days=3650)
"""How far ahead of the server's clock an imported entry may have been active."""


@dataclass(frozen=True)
class Pruned:
    """What a prune should report."""

    removed: frozenset[SessionKey] = frozenset()
    kept: Mapping[str, int] = field(default_factory=dict)
    cutoff: datetime | None = None


class ReferenceStore(ReferenceLanes):
    """All sessions as they should be."""

    def selected(
        self, active_minutes: float | None = None, only: str | None = None
    ) -> list[SessionEntry]:
        """Return the sessions of a list, newest first."""
        found = sorted(self.entries.values(), key=lambda entry: entry.updated_at, reverse=True)
        if active_minutes is not None:
            since = self.now - timedelta(minutes=active_minutes)
            found = [entry for entry in found if entry.updated_at >= since]
        if only == "active":
            return [entry for entry in found if self.live_holds(entry.session_key)]
        return [entry for entry in found if only is None or getattr(entry, only)]

    def bound_to(self, session_id: SessionId) -> list[SessionEntry]:
        """Return the sessions with an id, latest active first."""
        return [entry for entry in self.selected() if entry.session_id == session_id]

    def counts(self) -> Counts:
        """Count the sessions."""
        times = [entry.updated_at for entry in self.entries.values()]
        ends = [end for end in self.last_moments.values() if end is not None]
        return Counts(
            sessions=len(times),
            active=sum(bool(self.live_holds(key)) for key in self.entries),
            expiring=len(ends),
            expired=sum(end < self.now for end in ends),
            oldest=min(times, default=None),
            newest=max(times, default=None),
        )

    def prune(
        self, max_age_days: float | None, before: datetime | None, *, dry_run: bool
    ) -> Pruned:
        """Remove what was last active before a cutoff."""
        days = self.config.session_store_max_age_days if max_age_days is None else max_age_days
        if before is None and days <= 0:
            return Pruned()
        cutoff = before or self.now - timedelta(days=days)
        removed, kept = set(), Counter[str]()
        for key, entry in self.entries.items():
            if entry.updated_at >= cutoff:
                continue
            if entry.suspended:
                kept["suspended"] += 1
            elif self.live_holds(key):
                kept["active"] += 1
            else:
                removed.add(key)
        if not dry_run:
            for key in removed:
                self.delete(key)
        return Pruned(frozenset(removed), kept, cutoff)

    def suspend_recently_active(self, replica: str, max_age: timedelta) -> int:
        """Mark what a replica was busy with."""
        marked = 0
        for key, entry in self.entries.items():
            recent = entry.updated_at >= self.now - max_age and entry.replica == replica
            if recent and not entry.resume_pending:
                marked += self.mark_resume_pending(key, "restart_interrupted")
        return marked

    def import_sessions(self, rows: Sequence[SessionEntry]) -> list[str]:
        """Take in rows, one after the other, and say what becomes of each."""
        lanes: dict[SessionId, set[SessionKey]] = {}
        for row in rows:
            lanes.setdefault(row.session_id, set()).add(row.session_key)
        shared = set()
        if self.config.partitions != 1:
            # Who is bound to an id already is marked before, wherever the rows then end.
            shared = {one for one, keys in lanes.items() if len(keys | self._lanes_on(one)) > 1}
            for session_id in shared:
                self.share(session_id)
        verdicts = [self._import(row) for row in rows]
        for session_id, keys in lanes.items():
            mine = (
                {
                    row.session_key
                    for row, verdict in zip(rows, verdicts, strict=True)
                    if verdict in {"created", "updated"}
                }
                & keys
                & self._lanes_on(session_id)
            )
            alone = len(self._lanes_on(session_id)) < 2 or self.config.partitions != 1
            if session_id in shared or (mine and not alone):
                self.sharing |= mine
                if not alone:
                    self.share(session_id)
        return verdicts

    def _lanes_on(self, session_id: SessionId) -> set[SessionKey]:
        return {entry.session_key for entry in self.bound_to(session_id)}

    def _import(self, row: SessionEntry) -> str:
        if row.updated_at > self.now + FURTHEST_IMPORT:
            return "future"
        old = self.entries.get(row.session_key)
        if old is not None and old.updated_at >= row.updated_at:
            return "kept"
        version = 1 if old is None else old.version + 1
        self.store(
            row.model_copy(update={"version": version}), self.policy(row.platform, row.chat_type)
        )
        self.sharing.discard(row.session_key)
        return "created" if old is None else "updated"
