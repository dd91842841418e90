"""An export into a ``state.db`` replaces one scope's rows, and nothing besides."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from redisstore import InvalidInput, SessionStore
from redisstore.transfer import export_file, import_file
from tests.transfer.databases import CREATE, SCOPE, gateway, put_table, rows_of
from tests.transfer.files import (
    FULL,
    GATEWAY_DATABASE,
    GATEWAY_FILE,
    GATEWAY_SCOPE,
    KEY,
    Put,
    carry_in,
    carry_out,
    row,
)


@pytest.fixture
def filled(local: SessionStore, put: Put) -> SessionStore:
    import_file(local, put({KEY: FULL}), zone="UTC")
    return local


def everything_else(path: Path) -> list[tuple[object, ...]]:
    """Return the schema, and all rows of all tables but those of the scope of a gateway."""
    with closing(sqlite3.connect(path)) as database:
        schema = database.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        names = [name for kind, name, _ in schema if kind == "table" and name != "gateway_routing"]
        found = [row for name in names for row in database.execute(f'SELECT * FROM "{name}"')]  # noqa: S608 - names of its tables
        others = database.execute(
            "SELECT * FROM gateway_routing WHERE scope <> ?", (GATEWAY_SCOPE,)
        ).fetchall()
    return [*schema, *found, *others]


@pytest.mark.parametrize("site", ["memory", "valkey-9.1/4"], indirect=True)
def test_a_scope_is_replaced_and_nothing_else_is_touched(
    store: SessionStore, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    shutil.copy(GATEWAY_DATABASE, path)
    put_table(path, {"gone": row(session_key="gone")}, GATEWAY_SCOPE)
    put_table(path, {KEY: row()}, "/another")
    carry_in(store, GATEWAY_FILE)
    before = everything_else(path)
    report = carry_out(store, path, scope=GATEWAY_SCOPE)
    assert (int(report), report.left_out, report.inexact) == (600, (), {})
    assert everything_else(path) == before
    assert rows_of(path, GATEWAY_SCOPE).keys() == rows_of(GATEWAY_DATABASE, GATEWAY_SCOPE).keys()


def test_a_database_that_is_not_there_is_made_private_with_the_gateways_table(
    filled: SessionStore, tmp_path: Path
) -> None:
    path = tmp_path / "new.db"
    assert int(export_file(filled, path, zone="UTC", scope=SCOPE)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    assert found == [(CREATE,)]
    assert list(rows_of(path)) == [KEY]


def test_a_scope_is_named_as_the_gateway_names_it(filled: SessionStore, tmp_path: Path) -> None:
    sessions = tmp_path / "real" / "sessions"
    sessions.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    path = tmp_path / "new.db"
    export_file(filled, path, zone="UTC", scope=str(tmp_path / "link" / "sessions"))
    assert list(rows_of(path, str(sessions.resolve()))) == [KEY]


def test_a_database_in_use_is_refused_and_left_alone(
    filled: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redisstore.transfer.scope_target._PATIENCE", 0.1)
    path = put_table(tmp_path / "state.db", {"old": row(session_key="old")})
    with gateway(path), pytest.raises(InvalidInput, match=r"^path: .*stop the gateway"):
        export_file(filled, path, zone="UTC", scope=SCOPE)
    assert list(rows_of(path)) == ["old"]
    export_file(filled, path, zone="UTC", scope=SCOPE)
    assert list(rows_of(path)) == [KEY]


def test_a_database_that_is_being_written_is_refused(
    filled: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redisstore.transfer.scope_target._PATIENCE", 0.1)
    path = put_table(tmp_path / "state.db", {"old": row(session_key="old")})
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(InvalidInput, match=r"^path: .*stop the gateway"):
            export_file(filled, path, zone="UTC", scope=SCOPE)


@pytest.mark.parametrize("name", ["state.db", "new.db"])
def test_an_export_that_fails_leaves_the_old_rows(
    filled: SessionStore, tmp_path: Path, name: str
) -> None:
    put_table(tmp_path / "state.db", {"old": row(session_key="old")})

    def give_up(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_file(filled, tmp_path / name, zone="UTC", scope=SCOPE, on_progress=give_up)
    assert list(rows_of(tmp_path / "state.db")) == ["old"]
    assert {path.name for path in tmp_path.iterdir()} == {"state.db", "sessions.json"}


def test_a_place_that_goes_away_meanwhile_is_an_error(filled: SessionStore, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()

    def pull_away(_done: int, _total: int) -> None:
        place.rmdir()

    with pytest.raises(InvalidInput, match=r"^path: .*can't be written"):
        export_file(filled, place / "x.db", zone="UTC", scope=SCOPE, on_progress=pull_away)


def test_a_scope_and_a_database_belong_together(filled: SessionStore, tmp_path: Path) -> None:
    database = put_table(tmp_path / "state", {"old": row(session_key="old")})
    for path in (database, tmp_path / "new.db"):
        with pytest.raises(InvalidInput, match=r"^scope: .*database"):
            export_file(filled, path, zone="UTC")
    with pytest.raises(InvalidInput, match=r"^scope: "):
        export_file(filled, database, zone="UTC", scope="")
    with pytest.raises(InvalidInput, match=r"^path: .*no database"):
        export_file(filled, tmp_path / "sessions.json", zone="UTC", scope=SCOPE)
    assert list(rows_of(database)) == ["old"]


def test_what_is_no_gateways_database_is_refused(filled: SessionStore, tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text(json.dumps({}) * 300)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE gateway_routing (scope, session_key)")
    before = other.read_bytes()
    for path in (text, other, tmp_path / "missing" / "x.db", tmp_path):
        with pytest.raises(InvalidInput, match=r"^path: "):
            export_file(filled, path, zone="UTC", scope=SCOPE)
    assert other.read_bytes() == before
