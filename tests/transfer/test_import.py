"""Importing again, over what is there already, and the progress of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redisstore import SessionStore
from redisstore.transfer import import_file, verify_file
from tests.transfer.files import (
    DATA,
    GATEWAY_FILE,
    KEY,
    Put,
    Row,
    carry_in,
    carry_out,
    compare,
    row,
)


@pytest.mark.parametrize("site", ["memory", "valkey-9.1/4"], indirect=True)
def test_an_import_can_be_repeated(store: SessionStore, generation: Path) -> None:
    carry_in(store, generation / "sessions.json")
    before = list(store.list_sessions())
    report = carry_in(store, generation / "sessions.json")
    assert (report.created, report.updated, report.kept) == (0, 0, 600)
    assert list(store.list_sessions()) == before


def test_the_other_generation_changes_nothing_that_is_as_new(local: SessionStore) -> None:
    import_file(local, GATEWAY_FILE, zone="UTC")
    before = list(local.list_sessions())
    report = import_file(local, DATA / "hermes-0.13" / "sessions.json", zone="UTC")
    assert (report.kept, report.bad) == (600, ())
    assert list(local.list_sessions()) == before


def test_what_was_active_later_stays(local: SessionStore, put: Put) -> None:
    import_file(local, put({KEY: row()}), zone="UTC")
    local.update_session(KEY, input_tokens=5)
    newer = local.get_session(KEY)
    report = import_file(local, put({KEY: row(input_tokens=1)}), zone="UTC")
    assert report.kept == 1
    assert local.get_session(KEY) == newer


def test_what_is_older_is_replaced(local: SessionStore, put: Put) -> None:
    import_file(local, put({KEY: row(suspended=True)}), zone="UTC")
    later = row(updated_at="2026-01-03T00:00:00", session_id="later")
    report = import_file(local, put({KEY: later}), zone="UTC")
    entry = local.get_session(KEY)
    assert report.updated == 1
    assert entry is not None
    assert (entry.session_id, entry.suspended, entry.version) == ("later", False, 2)


def test_of_a_key_that_stands_twice_the_newer_row_counts(local: SessionStore, put: Put) -> None:
    newer = json.dumps(row(updated_at="2026-01-03T00:00:00", session_id="newer"))
    report = import_file(
        local, put(f'{{"{KEY}": {newer}, "{KEY}": {json.dumps(row())}}}'), zone="UTC"
    )
    entry = local.get_session(KEY)
    assert (report.created, len(report.passed_over), report.total) == (1, 1, 2)
    assert entry is not None
    assert entry.session_id == "newer"


@pytest.mark.parametrize("site", ["valkey-9.1/4"], indirect=True)
def test_progress_ends_with_everything(store: SessionStore, tmp_path: Path) -> None:
    source = GATEWAY_FILE
    told: list[tuple[int, int]] = []
    carry_in(store, source, on_progress=lambda *step: told.append(step))
    assert told == [(done, 600) for done in range(100, 601, 100)]
    told.clear()
    carry_out(store, tmp_path / "out.json", on_progress=lambda *step: told.append(step))
    assert told[0] == (100, 600)
    assert told[-1] == (600, 600)


MARKS: Row = {
    "suspended": True,
    "resume_pending": True,
    "resume_reason": "restart_timeout",
    "last_resume_marked_at": "2026-01-02T11:00:00",
    "expiry_finalized": True,
    "session_id": "compressed",
    "model_override": {"model": "m"},
    "total_tokens": 7,
}


@pytest.mark.parametrize("site", ["memory", "valkey-9.1/4"], indirect=True)
def test_marks_without_activity_are_put_right_where_that_is_asked_for(
    store: SessionStore, put: Put
) -> None:
    carry_in(store, put({KEY: row()}))
    marked = put({KEY: row(**MARKS)})
    report = carry_in(store, marked)
    assert (report.kept, report.amended) == (1, 0)
    assert {it.name for it in compare(store, marked).differing[0].fields} >= {"suspended"}
    report = carry_in(store, marked, amend=True)
    assert (report.kept, report.amended) == (1, 1)
    assert compare(store, marked).equal == 1
    assert carry_in(store, marked, amend=True).amended == 0


def test_what_is_newer_in_the_store_is_not_put_right(local: SessionStore, put: Put) -> None:
    import_file(local, put({KEY: row()}), zone="UTC")
    local.update_session(KEY)
    before = local.get_session(KEY)
    assert import_file(local, put({KEY: row(**MARKS)}), zone="UTC", amend=True).amended == 0
    assert local.get_session(KEY) == before


def test_what_cant_be_put_right_stays_for_the_comparison(local: SessionStore, put: Put) -> None:
    import_file(local, put({KEY: row(suspended=True)}), zone="UTC")
    path = put({KEY: row(display_name="", total_tokens=1)})
    assert import_file(local, path, zone="UTC", amend=True).amended == 0
    assert verify_file(local, path, zone="UTC").differing
