"""Rules that hold sessions, and rules that look at many."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import MultipleResults, multiple, precondition, rule

from redisstore import SessionId, SessionKey

from . import scenery
from .scenery import LANE, PROCESS, REPLICA, REPLICAS
from .stage import IDS, StagedMachine, outcome

if TYPE_CHECKING:
    from redisstore.calls.listing import Only

if TYPE_CHECKING:
    pass


class StoreRules(StagedMachine):
    """Process holds, lists, prune, recovery and imports."""

    @rule(replica=REPLICA, lane=LANE, process=PROCESS, ttl=scenery.TTL)
    def take_hold(self, replica: int, lane: SessionKey, process: str, ttl: timedelta) -> None:
        store = self.stores[replica]
        assert outcome(lambda: store.take_hold(lane, process, ttl=ttl.total_seconds())) == outcome(
            lambda: self.model.take_hold(lane, process, ttl)
        )

    @rule(replica=REPLICA, holds=st.lists(st.tuples(LANE, PROCESS), unique=True, max_size=4))
    def renew_holds(self, replica: int, holds: list[tuple[SessionKey, str]]) -> None:
        store = self.stores[replica]
        ttl = timedelta(seconds=store.config.process_hold_ttl)
        got = store.renew_holds(holds)
        assert got == {
            (lane, process): self.model.take_hold(lane, process, ttl)
            if lane in self.model.entries
            else None
            for lane, process in holds
        }

    @rule(replica=REPLICA, lane=LANE, process=PROCESS)
    def release_hold(self, replica: int, lane: SessionKey, process: str) -> None:
        got = self.stores[replica].release_hold(lane, process)
        assert got == self.model.release_hold(lane, process)

    @rule(
        replica=REPLICA,
        minutes=st.sampled_from([None, 0, 1.5, 60, 1440]),
        limit=st.sampled_from([None, None, 0, 1, 3]),
        only=st.sampled_from([None, "suspended", "resume_pending", "active"]),
    )
    def list_sessions(
        self, replica: int, minutes: float | None, limit: int | None, only: Only | None
    ) -> None:
        got = list(self.stores[replica].list_sessions(minutes, limit, only=only))
        expected = self.model.selected(minutes, only)
        wanted = len(expected) if limit is None else min(limit, len(expected))
        assert [entry.updated_at for entry in got] == [
            entry.updated_at for entry in expected[:wanted]
        ]
        by_key = {entry.session_key: entry for entry in got}
        assert len(by_key) == wanted
        assert all(entry in expected for entry in got)

    @rule(replica=REPLICA, session_id=IDS | st.sampled_from(["old-1", "old", "old 2"]))
    def lookup_by_session_id(self, replica: int, session_id: SessionId) -> None:
        got = self.stores[replica].lookup_by_session_id(session_id)
        bound = self.model.bound_to(session_id)
        latest = [entry for entry in bound if entry.updated_at == bound[0].updated_at]
        assert got in latest if latest else got is None

    @rule(replica=REPLICA, seconds=st.sampled_from([0, 90, 120, 1e9]))
    def suspend_recently_active(self, replica: int, seconds: float) -> None:
        got = self.stores[replica].suspend_recently_active(seconds)
        assert got == self.model.suspend_recently_active(
            REPLICAS[replica], timedelta(seconds=seconds)
        )

    @rule(
        replica=REPLICA,
        days=st.sampled_from([None, None, 0, -1, 0.5, 1, 40]),
        dry_run=st.booleans(),
    )
    def prune_by_age(self, replica: int, days: float | None, dry_run: bool) -> None:
        self._prune(replica, days, None, dry_run=dry_run)

    @precondition(lambda self: self.model.entries)
    @rule(replica=REPLICA, data=st.data(), off=st.sampled_from([0, 1]), dry_run=st.booleans())
    def prune_before(self, replica: int, data: st.DataObject, off: int, dry_run: bool) -> None:
        times = sorted({entry.updated_at for entry in self.model.entries.values()})
        before = data.draw(st.sampled_from(times)) + timedelta(milliseconds=off)
        self._prune(replica, None, before, dry_run=dry_run)

    def _prune(
        self, replica: int, days: float | None, before: datetime | None, *, dry_run: bool
    ) -> None:
        removed: list[SessionKey] = []
        report = self.stores[replica].prune_old_entries(
            days,
            before=before,
            dry_run=dry_run,
            on_batch=lambda batch: removed.extend(batch.removed),
        )
        expected = self.model.prune(days, before, dry_run=dry_run)
        assert Counter(removed) == Counter(expected.removed)
        assert int(report) == report.removed == len(expected.removed)
        assert {reason: n for reason, n in report.kept.items() if n} == expected.kept
        assert report.scanned == len(expected.removed) + sum(expected.kept.values())
        assert (report.cutoff, report.dry_run) == (expected.cutoff, dry_run)

    @rule(target=IDS, replica=REPLICA, data=st.data())
    def import_sessions(self, replica: int, data: st.DataObject) -> MultipleResults[SessionId]:
        rows = data.draw(st.lists(scenery.rows(self.model.now), min_size=1, max_size=3))
        got = list(self.stores[replica].import_sessions(rows))
        verdicts = {id(row): verdict for row, verdict in got}
        assert [verdicts[id(row)] for row in rows] == self.model.import_sessions(rows)
        return multiple(*(row.session_id for row in rows))
