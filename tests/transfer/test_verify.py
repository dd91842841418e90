"""A comparison says which sessions differ in which fields, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import fakeredis
import pytest

from redisstore import SessionKey, SessionStore
from redisstore.transfer import Difference, FieldDifference, VerifyReport, import_file, verify_file
from tests.conftest import OpenStore
from tests.transfer.databases import put_table
from tests.transfer.files import FULL, GATEWAY_DATABASE, KEY, Put, Row, carry_in, compare, row

OTHER = SessionKey("agent:main:telegram:dm:43")
LATER = "2026-01-05T00:00:00"


@pytest.mark.parametrize("site", ["memory", "valkey-9.1/4"], indirect=True)
def test_after_an_import_nothing_differs(store: SessionStore, generation: Path) -> None:
    path = generation / "sessions.json"
    carry_in(store, path)
    before = list(store.list_sessions())
    told: list[tuple[int, int]] = []
    report = compare(store, path, on_progress=lambda *step: told.append(step))
    assert report == VerifyReport(600, (), (), (), (), (), only_in_store=0, total=600)
    assert report.agrees
    assert told == [(done, 600) for done in range(100, 601, 100)]
    assert list(store.list_sessions()) == before


def test_an_empty_store_has_none_of_them(local: SessionStore) -> None:
    report = verify_file(local, GATEWAY_DATABASE, zone="UTC")
    assert (len(report.missing), report.equal, report.agrees) == (600, 0, False)


CHANGES: dict[str, tuple[Row, str]] = {
    **{name: ({name: None}, name) for name in FULL if name not in ("session_key", "created_at")},
    "created_at": ({"created_at": "2026-01-01T00:00:00"}, "created_at"),
    "session_id": ({"session_id": "another"}, "session_id"),
    "updated_at": ({"updated_at": LATER}, "updated_at"),
    **{
        f"origin.{name}": ({"origin": {**FULL["origin"], name: None}}, f"origin.{name}")
        for name in FULL["origin"]
        if name not in ("platform", "scope_id", "guild_id", "chat_type")
    },
    "origin.platform": ({"origin": {**FULL["origin"], "platform": "x"}}, "origin.platform"),
    "origin.guild_id": ({"origin": {**FULL["origin"], "scope_id": "h"}}, "origin.guild_id"),
    "model_override.model": ({"model_override": {"model": "n"}}, "model_override.model"),
    "previous_session_id": ({"previous_session_id": "p"}, "previous_session_id"),
    "interruptions": ({"interruptions": 2}, "interruptions"),
    "replica": ({"replica": "r"}, "replica"),
}


@pytest.mark.parametrize(("change", "field"), CHANGES.values(), ids=CHANGES)
def test_each_field_counts(local: SessionStore, put: Put, change: Row, field: str) -> None:
    import_file(local, put({KEY: FULL}), zone="UTC")
    report = verify_file(local, put({KEY: {**FULL, **change}}), zone="UTC")
    (difference,) = report.differing
    assert difference.key == KEY
    assert any(it.name == field or it.name.startswith(f"{field}.") for it in difference.fields)
    assert not report.agrees


def test_a_session_that_is_newer_in_the_store_is_no_fault(local: SessionStore, put: Put) -> None:
    path = put({KEY: row(), OTHER: row(session_key=OTHER)})
    import_file(local, path, zone="UTC")
    local.update_session(KEY, input_tokens=5)
    report = verify_file(local, path, zone="UTC")
    (difference,) = report.moved_on
    assert (difference.key, difference.newer) == (KEY, "store")
    assert {field.name for field in difference.fields} >= {"input_tokens", "updated_at"}
    assert (report.equal, report.agrees) == (1, True)


def test_a_session_that_is_newer_in_the_file_is_one(local: SessionStore, put: Put) -> None:
    import_file(local, put({KEY: row()}), zone="UTC")
    path = put({KEY: row(updated_at=LATER)})
    report = verify_file(local, path, zone="UTC")
    assert [(it.key, it.newer) for it in report.differing] == [(KEY, "file")]
    import_file(local, path, zone="UTC")
    assert verify_file(local, path, zone="UTC").agrees


def test_a_change_that_is_no_activity_is_told_with_both_values(
    local: SessionStore, put: Put
) -> None:
    path = put({KEY: row()})
    import_file(local, path, zone="UTC")
    local.suspend_session(KEY)
    report = verify_file(local, path, zone="UTC")
    expected = Difference(KEY, None, (FieldDifference("suspended", file=False, store=True),))
    assert report.differing == (expected,)


def test_what_only_one_side_has_is_told(local: SessionStore, put: Put) -> None:
    import_file(local, put({KEY: row()}), zone="UTC")
    report = verify_file(local, put({OTHER: row(session_key=OTHER)}), zone="UTC")
    assert (report.missing, report.only_in_store, report.total) == ((OTHER,), 1, 1)
    assert not report.agrees


def test_what_cant_be_compared_is_no_agreement(local: SessionStore, put: Put) -> None:
    bad: Row = {
        "no object": 5,
        "x" * 2000: row(session_key="x" * 2000),
        "\ud800": row(session_key="\ud800"),
    }
    path = put({KEY: row(), **bad})
    import_file(local, path, zone="UTC")
    report = verify_file(local, path, zone="UTC")
    assert (report.equal, len(report.bad), report.agrees) == (1, 3, False)


@pytest.mark.damages
def test_a_session_that_is_damaged_in_the_store_is_told(put: Put) -> None:
    client = fakeredis.FakeRedis()
    store = SessionStore(client)
    path = put({KEY: row(), OTHER: row(session_key=OTHER)})
    import_file(store, path, zone="UTC")
    client.hset("{redisstore}:entry:" + KEY, "created_at", "?")
    report = verify_file(store, path, zone="UTC")
    assert [(it.key, it.problem.partition(":")[0]) for it in report.bad] == [(KEY, "store")]
    assert report.equal == 1


def test_of_several_scopes_what_an_import_takes_is_compared(
    local: SessionStore, tmp_path: Path
) -> None:
    path = put_table(tmp_path / "state.db", {KEY: row(session_id="old")}, "/a")
    put_table(path, {KEY: row(session_id="new", updated_at=LATER)}, "/b")
    import_file(local, path, zone="UTC")
    report = verify_file(local, path, zone="UTC")
    assert (report.equal, len(report.passed_over), report.agrees) == (1, 1, True)
    assert verify_file(local, path, zone="UTC", scope="/a").moved_on


@pytest.mark.parametrize("site", ["valkey-9.1"], indirect=True)
def test_a_session_touched_meanwhile_is_not_missed(open_store: OpenStore) -> None:
    store = open_store(list_page_size=10)
    carry_in(store, GATEWAY_DATABASE)
    oldest = list(store.list_sessions())[-1].session_key

    def touch(done: int, _total: int) -> None:
        if done == 100:
            toucher.update_session(oldest)

    with SessionStore.from_url(config=store.config) as toucher:
        report = compare(store, GATEWAY_DATABASE, on_progress=touch)
    assert [it.key for it in report.moved_on] == [oldest]
    assert (report.equal, report.missing, report.only_in_store) == (599, (), 0)
