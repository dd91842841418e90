"""An export gives back what was imported, and says what it can't express."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import fakeredis
import pytest

from redisstore import InvalidInput, SessionKey, SessionStore
from redisstore.transfer import export_file, import_file
from tests.conftest import OpenStore
from tests.transfer.files import FULL, GATEWAY_FILE, KEY, Put, Row, carry_in, carry_out, row


@pytest.mark.parametrize("site", ["valkey-9.1/4"], indirect=True)
def test_an_export_imported_elsewhere_gives_equal_entries(
    store: SessionStore, local: SessionStore, put: Put, tmp_path: Path
) -> None:
    carry_in(store, GATEWAY_FILE)
    bare = "agent:main:x:dm"
    carry_in(store, put({KEY: FULL, bare: row(session_key=bare, origin=None, platform=None)}))
    out = tmp_path / "out.json"
    assert int(carry_out(store, out, "America/New_York")) == 602
    assert import_file(local, out, zone="America/New_York").created == 602

    def by_key(entries: SessionStore) -> dict[str, Row]:
        found = entries.list_sessions()
        return {entry.session_key: entry.model_dump(exclude={"version"}) for entry in found}

    assert by_key(local) == by_key(store)


def test_an_export_is_private_and_replaces_the_file_as_a_whole(
    local: SessionStore, put: Put, tmp_path: Path
) -> None:
    import_file(local, put({KEY: row()}), zone="UTC")
    out = tmp_path / "real.json"
    out.write_text("old")
    out.chmod(0o644)
    link = tmp_path / "link.json"
    link.symlink_to(out)
    export_file(local, link, zone="UTC")
    assert link.is_symlink()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert KEY in json.loads(out.read_text())


def test_names_can_be_looked_for_in_an_export_as_they_are_written(
    local: SessionStore, put: Put, tmp_path: Path
) -> None:
    lane = "agent:main:telegram:dm:Zo\u00eb"
    import_file(local, put({lane: row(session_key=lane, display_name="\u5b57")}), zone="UTC")
    out = tmp_path / "out.json"
    export_file(local, out, zone="UTC")
    written = out.read_text("utf-8")
    assert lane in written
    assert "\u5b57" in written


def test_an_export_that_fails_leaves_the_old_file(
    local: SessionStore, put: Put, tmp_path: Path
) -> None:
    path = put({KEY: row()})
    import_file(local, path, zone="UTC")
    before = path.read_text()

    def give_up(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_file(local, path, zone="UTC", on_progress=give_up)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cant_be_written_is_an_error(local: SessionStore, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "out.json", Path("/dev/null")):
        with pytest.raises(InvalidInput, match=r"^path: "):
            export_file(local, path, zone="UTC")


def test_an_empty_store_is_exported_as_an_empty_object(local: SessionStore, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert int(export_file(local, out, zone="UTC")) == 0
    assert json.loads(out.read_text()) == {}


@pytest.mark.damages
def test_damaged_entries_are_left_out_and_named(put: Put, tmp_path: Path) -> None:
    client = fakeredis.FakeRedis()
    store = SessionStore(client)
    good = SessionKey("agent:main:telegram:dm:good")
    import_file(store, put({KEY: row(), good: row(session_key=good)}), zone="UTC")
    client.hset("{redisstore}:entry:" + KEY, "created_at", "?")
    out = tmp_path / "out.json"
    report = export_file(store, out, zone="UTC")
    assert list(json.loads(out.read_text())) == [good]
    assert [KEY in bad.key for bad in report.left_out] == [True]


@pytest.mark.parametrize("site", ["valkey-9.1"], indirect=True)
def test_a_session_touched_meanwhile_is_not_missed(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store(list_page_size=10)
    carry_in(store, GATEWAY_FILE)
    oldest = list(store.list_sessions())[-1].session_key

    def touch(done: int, _total: int) -> None:
        if done == 100:
            toucher.update_session(oldest)

    with SessionStore.from_url(config=store.config) as toucher:
        out = tmp_path / "out.json"
        assert int(carry_out(store, out, on_progress=touch)) == 600
    assert oldest in json.loads(out.read_text())


def test_sessions_that_the_gateway_would_pass_over_are_told(
    local: SessionStore, put: Put, tmp_path: Path
) -> None:
    lane = "C:/x"
    import_file(local, put({lane: row(session_key=lane, session_id="../up")}), zone="UTC")
    report = export_file(local, tmp_path / "out.json", zone="UTC")
    assert {note.partition(":")[0] for note in report.inexact} == {"session_id", "session_key"}
    assert report.left_out == ()


def test_an_export_says_where_a_local_time_is_ambiguous(
    local: SessionStore, put: Put, tmp_path: Path
) -> None:
    import_file(local, put({KEY: row(updated_at="2025-10-26T01:30:00")}), zone="UTC")
    out = tmp_path / "out.json"
    report = export_file(local, out, zone="Europe/Berlin")
    assert json.loads(out.read_text())[KEY]["updated_at"] == "2025-10-26T02:30:00"
    assert [note.partition(":")[0] for note in report.inexact] == ["updated_at"]
