"""What an import takes from a ``state.db``, and from a gateway's home that has one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from redisstore import InvalidInput, SessionKey, SessionStore
from redisstore.transfer import import_file
from tests.transfer.databases import CREATE, gateway, put_ended, put_table
from tests.transfer.files import (
    GATEWAY_DATABASE,
    GATEWAY_FILE,
    GATEWAY_SCOPE,
    KEY,
    Row,
    carry_in,
    put,
    row,
)

OTHER = SessionKey("agent:main:telegram:dm:43")


def session_ids(store: SessionStore) -> dict[str, str]:
    return {entry.session_key: entry.session_id for entry in store.list_sessions()}


def other(**fields: object) -> Row:
    return row(session_key=OTHER, **fields)


@pytest.mark.parametrize("site", ["memory", "valkey-9.1/4"], indirect=True)
def test_the_database_has_what_the_file_has(store: SessionStore) -> None:
    report = carry_in(store, GATEWAY_DATABASE)
    assert (report.created, report.bad, report.passed_over) == (600, (), ())
    assert report.scopes == {GATEWAY_SCOPE: 600}
    assert report.not_carried_over == {}
    before = list(store.list_sessions())
    assert carry_in(store, GATEWAY_FILE).kept == 600
    assert carry_in(store, GATEWAY_DATABASE).kept == 600
    assert list(store.list_sessions()) == before


def test_reading_a_database_leaves_it_as_it_was(local: SessionStore, tmp_path: Path) -> None:
    path = put_table(tmp_path / "state.db", {KEY: row()})
    before = path.read_bytes()
    import_file(local, path, zone="UTC")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_live_gateway_has_just_written_is_there(local: SessionStore, tmp_path: Path) -> None:
    path = put_table(tmp_path / "state.db", {KEY: row(display_name="Ada")})
    just_now = "UPDATE gateway_routing SET entry_json = replace(entry_json, 'Ada', 'Grace')"
    unfinished = "DELETE FROM gateway_routing"
    with gateway(path, just_now, "BEGIN IMMEDIATE", unfinished):
        assert b"Grace" not in path.read_bytes()
        assert import_file(local, path, zone="UTC").created == 1
    (entry,) = local.list_sessions()
    assert entry.display_name == "Grace"


def test_a_database_that_stays_locked_is_one_error(
    local: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redisstore.transfer.routing._PATIENCE", 0.1)
    path = put_table(tmp_path / "state.db", {KEY: row()})
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InvalidInput, match=r"^path: .*locked"):
            import_file(local, path, zone="UTC")


BAD_ROWS: dict[str, tuple[str, object, str]] = {
    "no JSON": (KEY, "{", "row"),
    "two values": (KEY, "{} {}", "row"),
    "nested too deeply": (KEY, "[" * 100_000, "row"),
    "no UTF-8": (KEY, b'{"a": "\xff"}', "row"),
    "a list": (KEY, [], "row"),
    "no date": (KEY, row(created_at="yesterday"), "created_at"),
    "unknown platform of the origin": (KEY, row(origin={"platform": "a b"}), "origin.platform"),
    "another key": (KEY, other(), "session_key"),
    "a note": ("_note", row(session_key="_note"), "session_key"),
    "no key": ("", row(session_key=""), "session_key"),
}


@pytest.mark.parametrize(("key", "bad", "field"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_of_a_table_is_named_and_the_others_go_on(
    local: SessionStore, tmp_path: Path, key: str, bad: object, field: str
) -> None:
    good = SessionKey("agent:main:telegram:dm:good")
    path = put_table(tmp_path / "state.db", {key: bad, good: row(session_key=good)})
    report = import_file(local, path, zone="UTC")
    assert (report.created, report.total) == (1, 2)
    assert [(it.key, it.problem.partition(":")[0]) for it in report.bad] == [(key, field)]
    assert list(session_ids(local)) == [good]


def test_a_key_that_is_no_text_is_a_bad_row(local: SessionStore, tmp_path: Path) -> None:
    path = put_table(tmp_path / "state.db", {KEY: row()})
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE gateway_routing SET session_key = CAST(x'ff41' AS TEXT)")
    report = import_file(local, path, zone="UTC")
    assert [it.problem.partition(":")[0] for it in report.bad] == ["session_key"]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Return a database that two gateways share; one lane is in both."""
    path = tmp_path / "state.db"
    older, newer = "2026-01-02T00:00:00", "2026-01-03T00:00:00"
    put_table(path, {KEY: row(updated_at=older, session_id="old"), OTHER: other()}, "/a/sessions")
    return put_table(path, {KEY: row(updated_at=newer, session_id="new")}, "/b/sessions")


def test_of_a_lane_in_several_scopes_the_latest_active_counts(
    local: SessionStore, shared: Path
) -> None:
    report = import_file(local, shared, zone="UTC")
    assert report.scopes == {"/a/sessions": 2, "/b/sessions": 1}
    assert (report.created, report.total) == (2, 3)
    ((key, problem),) = [(it.key, it.problem) for it in report.passed_over]
    assert key == KEY
    assert "/a/sessions" in problem
    assert "/b/sessions" in problem
    assert session_ids(local)[KEY] == "new"


def test_one_scope_is_taken_alone(local: SessionStore, shared: Path) -> None:
    report = import_file(local, shared, zone="UTC", scope="/a/x/../sessions")
    assert (report.created, report.passed_over) == (2, ())
    assert report.scopes == {"/a/sessions": 2}
    assert session_ids(local)[KEY] == "old"


def test_an_unknown_scope_is_an_error_that_names_those_there_are(
    local: SessionStore, shared: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"^scope: .*/a/sessions, /b/sessions"):
        import_file(local, shared, zone="UTC", scope="/c")
    with pytest.raises(InvalidInput, match=r"^scope: .*no database"):
        import_file(local, GATEWAY_FILE, zone="UTC", scope="/a/sessions")


def test_a_conversation_that_has_ended_is_passed_over(local: SessionStore, tmp_path: Path) -> None:
    path = put_table(
        tmp_path / "state.db", {KEY: row(session_id="x"), OTHER: other(session_id="y")}
    )
    put_ended(path, {"x": "compression", "y": None})
    report = import_file(local, path, zone="UTC")
    assert [(it.key, "compression" in it.problem) for it in report.passed_over] == [(KEY, True)]
    assert session_ids(local) == {OTHER: "y"}


def test_files_that_are_no_gateways_database_are_one_error(
    local: SessionStore, tmp_path: Path
) -> None:
    older = tmp_path / "older.db"
    with closing(sqlite3.connect(older)) as database:
        database.execute("CREATE TABLE sessions (id)")
    text = tmp_path / "text.db"
    text.write_text("{}")
    cut = tmp_path / "cut"
    cut.write_bytes(GATEWAY_DATABASE.read_bytes()[:40_000])
    for path in (older, text, cut, tmp_path / "missing.db", tmp_path):
        with pytest.raises(InvalidInput, match=r"^path: "):
            import_file(local, path, zone="UTC")
    assert local.count_sessions() == 0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a gateway's home: a lane in both places, one in each, one damaged in the table."""
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    table: dict[str, object] = {KEY: row(session_id="table"), OTHER: other(session_id="table")}
    table["damaged"] = "?"
    put_table(tmp_path / "state.db", table, str(sessions.resolve()))
    newer = row(session_id="file", updated_at="2026-01-09T00:00:00")
    keys = ("damaged", "agent:main:telegram:dm:44")
    file = {key: row(session_key=key, session_id="file") for key in keys}
    put(sessions, {"_README": "note", KEY: newer, **file})
    return tmp_path


def test_in_a_home_the_database_wins_and_the_file_fills_in(local: SessionStore, home: Path) -> None:
    report = import_file(local, home, zone="UTC")
    assert session_ids(local) == {
        KEY: "table",
        OTHER: "table",
        "damaged": "file",
        "agent:main:telegram:dm:44": "file",
    }
    assert (report.created, len(report.bad), report.total) == (4, 1, 5)


def test_a_file_is_not_taken_for_another_scopes(local: SessionStore, home: Path) -> None:
    put_table(home / "state.db", {KEY: row(session_id="elsewhere")}, "/elsewhere")
    import_file(local, home, zone="UTC", scope="/elsewhere")
    assert session_ids(local) == {KEY: "elsewhere"}


def test_a_home_without_database_is_its_file(local: SessionStore, home: Path) -> None:
    (home / "state.db").unlink()
    with pytest.raises(InvalidInput, match=r"^scope: "):
        import_file(local, home, zone="UTC", scope="/elsewhere")
    assert import_file(local, home, zone="UTC").created == 3
    with closing(sqlite3.connect(home / "state.db")) as database:
        database.execute("CREATE TABLE sessions (id)")
    assert import_file(local, home, zone="UTC").kept == 3


def test_a_home_whose_file_is_damaged_is_its_database(local: SessionStore, home: Path) -> None:
    put(home / "sessions", "{")
    report = import_file(local, home, zone="UTC")
    assert sorted(it.key for it in report.bad) == ["damaged", "sessions.json"]
    assert session_ids(local) == {KEY: "table", OTHER: "table"}


def test_the_table_made_by_these_tests_is_the_gateways() -> None:
    with closing(sqlite3.connect(f"{GATEWAY_DATABASE.as_uri()}?mode=ro", uri=True)) as database:
        found = database.execute("SELECT sql FROM sqlite_master WHERE name = 'gateway_routing'")
        assert found.fetchone() == (CREATE,)
