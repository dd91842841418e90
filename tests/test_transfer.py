"""What an import of the gateway's file takes in and refuses, and that an export gives it back."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import fakeredis
import pytest

from redisstore import InvalidInput, ModelOverride, SessionKey, SessionStore
from redisstore.fields import to_ms
from redisstore.scripts import directory, library
from redisstore.transfer import (
    BadRow,
    ExportReport,
    ImportReport,
    export_file,
    export_file_async,
    import_file,
    import_file_async,
)
from tests.conftest import OpenStore, Sites
from tests.faces import Blocking
from tests.servers import BACKEND_NAMES, missing

DATA = Path(__file__).parent / "data"
KEY = SessionKey("agent:main:telegram:dm:42")
Row: TypeAlias = dict[str, Any]


def row(**fields: object) -> Row:
    return {
        "session_key": KEY,
        "session_id": "20260101_100000_abcdef01",
        "created_at": "2026-01-01T10:00:00",
        "updated_at": "2026-01-02T10:00:00.123456",
        "origin": {"platform": "telegram", "chat_id": "42"},
        "platform": "telegram",
        **fields,
    }


def origin(**fields: object) -> Row:
    return row(origin={"platform": "telegram", "chat_id": "42", **fields})


def carry_in(store: SessionStore, path: Path, zone: str = "UTC", **options: Any) -> ImportReport:
    """Import through the face that the store has."""
    face: object = store
    if isinstance(face, Blocking):
        work = import_file_async(face._store, path, zone=zone, **options)
        return face._loop.run_until_complete(work)
    return import_file(store, path, zone=zone, **options)


def carry_out(store: SessionStore, path: Path, zone: str = "UTC", **options: Any) -> ExportReport:
    face: object = store
    if isinstance(face, Blocking):
        work = export_file_async(face._store, path, zone=zone, **options)
        return face._loop.run_until_complete(work)
    return export_file(store, path, zone=zone, **options)


@pytest.fixture(params=["0.13", "0.19"])
def generation(request: pytest.FixtureRequest) -> Path:
    return DATA / f"hermes-{request.param}"


@pytest.fixture
def sessions(generation: Path) -> dict[str, Row]:
    rows: dict[str, Row] = json.loads((generation / "sessions.json").read_text())
    return {key: row for key, row in rows.items() if not key.startswith("_")}


@pytest.fixture
def expected(generation: Path) -> Row:
    found: Row = json.loads((generation / "expected_prune.json").read_text())
    return found


@pytest.fixture
def cutoff(expected: Row) -> datetime:
    now = datetime.fromisoformat(expected["now"]).replace(tzinfo=ZoneInfo(expected["timezone"]))
    return now - timedelta(days=expected["max_age_days"])


@pytest.fixture
def local(loop: asyncio.AbstractEventLoop) -> Iterator[SessionStore]:
    """A store in this process, for what does not depend on the server."""
    assert not loop.is_running()
    with SessionStore(fakeredis.FakeRedis()) as store:
        yield store


Put: TypeAlias = Callable[[object], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a file: text as it is, anything else as JSON."""

    def written(content: object) -> Path:
        path = tmp_path / "sessions.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return written


# What the gateway would have pruned


def test_a_prune_after_an_import_removes_what_the_gateway_would(
    store: SessionStore, generation: Path, expected: Row, cutoff: datetime
) -> None:
    report = carry_in(store, generation / "sessions.json", expected["timezone"])
    assert (report.created, report.total, report.bad) == (600, 600, ())
    assert report.not_carried_over == {}
    for key in expected["active_session_keys"]:
        store.take_hold(key, "process")

    removed: list[SessionKey] = []
    pruned = store.prune_old_entries(before=cutoff, on_batch=lambda b: removed.extend(b.removed))

    assert sorted(removed) == sorted(expected["pruned_session_keys"])
    assert int(pruned) == expected["removed"]
    assert store.count_sessions() == 600 - expected["removed"]


ByHand: TypeAlias = Callable[[str, list[str], list[str]], list[str]]


@pytest.fixture(params=["redis-cli", "EVAL"])
def by_hand(request: pytest.FixtureRequest, sites: Sites, backend_name: str) -> ByHand:
    """Run a file of ``lua/`` as an operator does, and return the lines of the reply."""
    server = sites.server(backend_name)
    if request.param == "redis-cli":
        if shutil.which("redis-cli") is None:
            missing("redis-cli is not installed")
        return lambda script, keys, args: subprocess.run(
            ["redis-cli", "-p", str(server.port), "--eval", directory() / f"{script}.lua"]
            + [*keys, ",", *args],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()

    def evaluate(script: str, keys: list[str], args: list[str]) -> list[str]:
        text = library()[script].text
        return _lines(server.ask("EVAL", text, len(keys), *keys, *args))

    return evaluate


@pytest.fixture(params=BACKEND_NAMES)
def backend_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def _lines(reply: Any) -> list[str]:
    if isinstance(reply, list):
        return [line for item in reply for line in _lines(item)]
    return [reply.decode()]


def test_the_scripts_alone_do_the_same_by_hand(
    by_hand: ByHand, namespace: str, sessions: dict[str, Row], expected: Row, cutoff: datetime
) -> None:
    prefix = "{" + namespace + "}:"
    updated_at = prefix + "updated_at"
    keys = list(sessions)
    for start in range(0, len(keys), 100):
        args = ["", "0", "0"]
        for key in keys[start : start + 100]:
            args += [key, "6", *_fields_by_hand(sessions[key])]
        assert set(by_hand("import_sessions", [prefix, updated_at], args)) == {"created"}
    pairs = [part for key in expected["active_session_keys"] for part in (key, "by-hand")]
    lapses = by_hand("hold_processes", [prefix, prefix + "active"], ["120000", *pairs])
    assert all(line.isdigit() for line in lapses)

    removed: list[str] = []
    skip, more = "0", "1"
    while more == "1":
        args = [str(to_ms(cutoff)), "", "100", skip, "", "", "0"]
        reply = by_hand("prune", [prefix, updated_at], args)
        more, skip = reply[reply.index("more") + 1], reply[reply.index("skip") + 1]
        removed += filter(None, reply[reply.index("removed") + 1 :])

    assert sorted(removed) == sorted(expected["pruned_session_keys"])


def _fields_by_hand(row: Row) -> list[str]:
    fields = {
        "session_id": row["session_id"],
        "platform": row["platform"],
        "chat_type": row["chat_type"],
        "suspended": "1" if row["suspended"] else "",
    }
    for name in ("created_at", "updated_at"):
        moment = datetime.fromisoformat(row[name]).replace(tzinfo=UTC)
        fields[name] = str(to_ms(moment))
    return [part for pair in fields.items() for part in pair]


# Repeating, and meeting what is there already


def test_an_import_can_be_repeated(store: SessionStore, generation: Path) -> None:
    carry_in(store, generation / "sessions.json")
    before = list(store.list_sessions())
    report = carry_in(store, generation / "sessions.json")
    assert (report.created, report.updated, report.kept) == (0, 0, 600)
    assert list(store.list_sessions()) == before


def test_the_other_generation_changes_nothing_that_is_as_new(local: SessionStore) -> None:
    import_file(local, DATA / "hermes-0.19" / "sessions.json", zone="UTC")
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
    assert (report.created, report.kept, report.total) == (1, 1, 2)
    assert entry is not None
    assert entry.session_id == "newer"


# Rows and their fields


def test_every_field_is_carried_over(local: SessionStore, put: Put) -> None:
    import_file(local, put({KEY: _FULL}), zone="UTC")
    entry = local.get_session(KEY)
    assert entry is not None
    for name in (*_COUNTERS, *_FLAGS, *_TEXTS):
        assert getattr(entry, name) == _FULL[name], name
    assert entry.estimated_cost_usd == Decimal("0.1")
    assert entry.updated_at == datetime(2026, 1, 2, 10, 0, 0, 123000, tzinfo=UTC)
    assert entry.last_resume_marked_at == datetime(2026, 1, 2, 11, tzinfo=UTC)
    assert entry.model_override == ModelOverride(model="m", provider="p", base_url="https://h/v1")
    assert entry.origin is not None
    assert entry.origin.model_dump() == {
        **{name: value for name, value in _FULL["origin"].items() if name != "scope_id"},
        "is_bot": True,
    }


_COUNTERS = {
    "input_tokens": 1,
    "output_tokens": 2,
    "cache_read_tokens": 3,
    "cache_write_tokens": 4,
    "total_tokens": 10,
    "last_prompt_tokens": 6,
}
_FLAGS = dict.fromkeys(
    (
        "was_auto_reset",
        "reset_had_activity",
        "is_fresh_reset",
        "expiry_finalized",
        "suspended",
        "resume_pending",
    ),
    True,
)
_TEXTS = {
    "display_name": "Ólafur {x}\n*",
    "cost_status": "estimated",
    "auto_reset_reason": "idle",
    "resume_reason": "restart_timeout",
    "chat_type": "thread",
}
_FULL = row(
    **_COUNTERS,
    **_FLAGS,
    **_TEXTS,
    estimated_cost_usd=0.1,
    last_resume_marked_at="2026-01-02T11:00:00",
    model_override={"model": "m", "provider": "p", "base_url": "https://h/v1"},
    origin={
        "platform": "discord",
        "chat_id": "42",
        "chat_name": "A",
        "chat_type": "group",
        "user_id": "7",
        "user_name": "B",
        "thread_id": "9",
        "chat_topic": "C",
        "user_id_alt": "7a",
        "chat_id_alt": "42a",
        "scope_id": "g",
        "guild_id": "g",
        "parent_chat_id": "41",
        "message_id": "m1",
        "is_bot": True,
    },
)


def test_ids_are_read_as_leniently_as_the_gateway_does(local: SessionStore, put: Put) -> None:
    ids = {"user_id": "", "thread_id": None, "message_id": 77, "guild_id": "", "scope_id": "s"}
    report = import_file(local, put({KEY: origin(**ids)}), zone="UTC")
    entry = local.get_session(KEY)
    assert entry is not None
    assert entry.origin is not None
    source = entry.origin
    assert (source.user_id, source.thread_id, source.message_id) == (None, None, "77")
    assert source.guild_id == "s"
    assert report.not_carried_over == {}


def test_the_earlier_name_of_the_finalized_flag_is_known(local: SessionStore, put: Put) -> None:
    import_file(local, put({KEY: row(memory_flushed=True)}), zone="UTC")
    entry = local.get_session(KEY)
    assert entry is not None
    assert entry.expiry_finalized


def test_what_has_no_place_is_counted_by_name(local: SessionStore, put: Put) -> None:
    source = {"platform": "x", "profile": "work", "scope_id": "a", "guild_id": "b"}
    odd = row(origin=source, model_override={"model": "m", "api_key": "k"}, mood="good", gone=None)
    report = import_file(local, put({KEY: odd, "bad": odd}), zone="UTC")
    assert report.not_carried_over == {
        "origin.profile": 1,
        "origin.guild_id": 1,
        "model_override.api_key": 1,
        "mood": 1,
    }
    assert local.get_model_override(KEY) == ModelOverride(model="m")


def test_notes_are_no_rows(local: SessionStore, put: Put) -> None:
    report = import_file(local, put({"_README": "text", "_x": row(), KEY: row()}), zone="UTC")
    assert (report.total, report.created, report.bad) == (1, 1, ())


BAD_ROWS: dict[str, tuple[object, str]] = {
    "a list": ([], "row"),
    "a flag": (True, "row"),
    "null": (None, "row"),
    "no session id": ({k: v for k, v in row().items() if k != "session_id"}, "session_id"),
    "empty session id": (row(session_id=""), "session_id"),
    "number as session id": (row(session_id=5), "session_id"),
    "surrogate in session id": (row(session_id="\ud800"), "session_id"),
    "long session id": (row(session_id="x" * 5000), "session_id"),
    "other key": (row(session_key="agent:main:telegram:dm:43"), "session_key"),
    "no key": ({k: v for k, v in row().items() if k != "session_key"}, "session_key"),
    "no date": (row(created_at=None), "created_at"),
    "words as date": (row(created_at="yesterday"), "created_at"),
    "number as date": (row(updated_at=1767261600), "updated_at"),
    "date before 1970": (row(updated_at="1969-12-31T23:59:59"), "updated_at"),
    "date before time": (row(created_at="0001-01-01T00:00:00+14:00"), "created_at"),
    "date after time": (row(created_at="9999-12-31T23:59:59-14:00"), "created_at"),
    "date in the future": (row(updated_at="9998-01-01T00:00:00"), "updated_at"),
    "bad mark": (row(last_resume_marked_at="?"), "last_resume_marked_at"),
    "text as counter": (row(input_tokens="5"), "input_tokens"),
    "flag as counter": (row(output_tokens=True), "output_tokens"),
    "fraction as counter": (row(total_tokens=1.5), "total_tokens"),
    "negative counter": (row(last_prompt_tokens=-1), "last_prompt_tokens"),
    "huge counter": (row(cache_read_tokens=2**53 + 1), "cache_read_tokens"),
    "endless counter": (row(cache_write_tokens="@" + "9" * 5000), "cache_write_tokens"),
    "negative cost": (row(estimated_cost_usd=-0.1), "estimated_cost_usd"),
    "huge cost": (row(estimated_cost_usd=1e9), "estimated_cost_usd"),
    "no number as cost": (row(estimated_cost_usd=float("nan")), "estimated_cost_usd"),
    "endless cost": (row(estimated_cost_usd="@1e" + "9" * 30), "estimated_cost_usd"),
    "text as cost": (row(estimated_cost_usd="0.1"), "estimated_cost_usd"),
    "number as flag": (row(suspended=1), "suspended"),
    "text as flag": (row(resume_pending="false"), "resume_pending"),
    "number as name": (row(display_name=5), "display_name"),
    "surrogate in name": (row(display_name="a\udfff"), "display_name"),
    "surrogate in origin": (origin(chat_name="\ud800"), "origin.chat_name"),
    "odd platform": (row(platform="tele gram"), "platform"),
    "odd chat type": (row(chat_type="a:b"), "chat_type"),
    "origin is text": (row(origin="telegram"), "origin"),
    "origin without platform": (row(origin={"chat_id": "4"}), "origin.platform"),
    "odd platform in origin": (origin(platform="a b"), "origin.platform"),
    "odd chat type in origin": (origin(chat_type=""), "origin.chat_type"),
    "flag as id": (origin(user_id=True), "origin.user_id"),
    "override is text": (row(model_override="gpt"), "model_override"),
    "odd override": (row(model_override={"model": []}), "model_override.model"),
    "secret in override": (
        row(model_override={"base_url": "https://u:p@h/"}),
        "model_override.base_url",
    ),
    "huge entry": (row(display_name="x" * 20_000), "display_name"),
}


@pytest.mark.parametrize(("bad", "field"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_named_and_the_others_go_on(
    local: SessionStore, put: Put, bad: object, field: str
) -> None:
    good = "agent:main:telegram:dm:good"
    text = json.dumps({KEY: bad, good: row(session_key=good)})
    report = import_file(local, put(_bare_numbers(text)), zone="UTC")
    assert (report.created, report.total) == (1, 2)
    ((key, problem),) = [(it.key, it.problem) for it in report.bad]
    assert key == KEY
    assert problem.startswith(f"{field}: ")
    assert local.get_session(KEY) is None
    assert local.get_session(SessionKey(good)) is not None


def _bare_numbers(text: str) -> str:
    """Take the quotes off numbers that Python would not write as such."""
    head, sign, tail = text.partition('"@')
    return head + tail.replace('"', "", 1) if sign else text


def test_all_that_is_wrong_with_a_row_is_said_at_once(local: SessionStore, put: Put) -> None:
    report = import_file(local, put({KEY: row(suspended=1, input_tokens=-1)}), zone="UTC")
    assert "suspended: " in report.bad[0].problem
    assert "input_tokens: " in report.bad[0].problem


@pytest.mark.parametrize("key", ["", "\ud800", "x" * 2000])
def test_a_key_that_cant_be_stored_makes_a_bad_row(local: SessionStore, put: Put, key: str) -> None:
    report = import_file(local, put({key: row(session_key=key)}), zone="UTC")
    assert [bad.problem.partition(":")[0] for bad in report.bad] == ["session_key"]
    assert report.bad[0].key.encode()[:5] == key.encode(errors="backslashreplace")[:5]


@pytest.mark.damages
def test_a_row_that_meets_a_damaged_entry_is_left_out(put: Put) -> None:
    client = fakeredis.FakeRedis()
    client.hset("{redisstore}:entry:" + KEY, "session_id", "x")
    report = import_file(SessionStore(client), put({KEY: row()}), zone="UTC")
    assert [bad.key for bad in report.bad] == [KEY]
    assert "damaged" in report.bad[0].problem


# Files


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "null", '{"a": 1', '{"a": }', '{"a": {},}', "{1: {}}", "{} {}", "{a: 1}"],
)
def test_a_file_that_is_no_json_object_is_one_error(
    local: SessionStore, put: Put, text: str
) -> None:
    path = put(text)
    with pytest.raises(InvalidInput, match="no JSON object") as caught:
        import_file(local, path, zone="UTC")
    assert str(path) in str(caught.value)
    assert local.count_sessions() == 0


def test_a_file_that_cant_be_read_is_one_error(local: SessionStore, tmp_path: Path) -> None:
    latin = tmp_path / "latin.json"
    latin.write_bytes('{"é": 1}'.encode("latin-1"))
    deep = tmp_path / "deep.json"
    deep.write_text('{"a": ' + "[" * 200_000)
    for path in (tmp_path / "missing.json", tmp_path, latin, deep, Path("a\0b")):
        with pytest.raises(InvalidInput, match="^path: "):
            import_file(local, path, zone="UTC")


def test_an_empty_store_of_sessions_is_no_error(local: SessionStore, put: Put) -> None:
    assert import_file(local, put(" {\n} "), zone="UTC").total == 0


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../etc/passwd"])
def test_an_unknown_zone_is_an_error(local: SessionStore, put: Put, zone: str) -> None:
    with pytest.raises(InvalidInput, match="^zone: "):
        import_file(local, put({}), zone=zone)
    with pytest.raises(InvalidInput, match="^zone: "):
        export_file(local, put({}), zone=zone)


def test_progress_ends_with_everything(store: SessionStore, tmp_path: Path) -> None:
    source = DATA / "hermes-0.19" / "sessions.json"
    told: list[tuple[int, int]] = []
    carry_in(store, source, on_progress=lambda *step: told.append(step))
    assert told == [(done, 600) for done in range(100, 601, 100)]
    told.clear()
    carry_out(store, tmp_path / "out.json", on_progress=lambda *step: told.append(step))
    assert told[0] == (100, 600)
    assert told[-1] == (600, 600)


# Time zones


@pytest.mark.parametrize(
    ("zone", "written", "utc"),
    [
        ("UTC", "2026-07-01T12:00:00.999999", "2026-07-01T12:00:00.999+00:00"),
        ("Europe/Berlin", "2026-01-15T12:00:00", "2026-01-15T11:00:00+00:00"),
        ("Europe/Berlin", "2026-07-01T12:00:00", "2026-07-01T10:00:00+00:00"),
        ("Europe/Berlin", "2025-10-26T02:30:00", "2025-10-26T00:30:00+00:00"),
        ("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:30:00+00:00"),
        ("Asia/Kolkata", "2026-07-01T12:00:00", "2026-07-01T06:30:00+00:00"),
        ("Europe/Berlin", "2026-07-01T12:00:00-04:00", "2026-07-01T16:00:00+00:00"),
        ("Europe/Berlin", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00+00:00"),
    ],
)
def test_local_times_are_read_in_the_zone_named(
    local: SessionStore, put: Put, zone: str, written: str, utc: str
) -> None:
    import_file(local, put({KEY: row(updated_at=written)}), zone=ZoneInfo(zone))
    entry = local.get_session(KEY)
    assert entry is not None
    assert entry.updated_at.isoformat(timespec="milliseconds") == datetime.fromisoformat(
        utc
    ).isoformat(timespec="milliseconds")


def test_an_export_says_where_a_local_time_is_ambiguous(
    local: SessionStore, put: Put, tmp_path: Path
) -> None:
    import_file(local, put({KEY: row(updated_at="2025-10-26T01:30:00")}), zone="UTC")
    out = tmp_path / "out.json"
    report = export_file(local, out, zone="Europe/Berlin")
    assert json.loads(out.read_text())[KEY]["updated_at"] == "2025-10-26T02:30:00"
    assert [note.partition(":")[0] for note in report.inexact] == ["updated_at"]


# Export


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_an_export_gives_the_gateways_rows_back(
    local: SessionStore, generation: Path, sessions: dict[str, Row], tmp_path: Path, zone: str
) -> None:
    import_file(local, generation / "sessions.json", zone=zone)
    out = tmp_path / "out.json"
    report = export_file(local, out, zone=zone)
    exported = json.loads(out.read_text())
    assert (int(report), report.left_out, report.inexact) == (600, (), {})
    assert exported.keys() == sessions.keys()
    for key, before in sessions.items():
        after = exported[key]
        assert {name: after[name] for name in before} == {**before, **_whole_ms(before)}
        added = after.keys() - before.keys()
        assert not any(after[name] for name in added), added


def _whole_ms(row: Row) -> Row:
    times = {name: row[name] for name in ("created_at", "updated_at", "last_resume_marked_at")}
    return {name: text and text[:-3] + "000" for name, text in times.items()}


def test_an_export_imported_elsewhere_gives_equal_entries(
    store: SessionStore, local: SessionStore, put: Put, tmp_path: Path
) -> None:
    carry_in(store, DATA / "hermes-0.19" / "sessions.json")
    bare = "agent:main:x:dm"
    carry_in(store, put({KEY: _FULL, bare: row(session_key=bare, origin=None, platform=None)}))
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
        with pytest.raises(InvalidInput, match="^path: "):
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


def test_a_session_touched_meanwhile_is_not_missed(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store(list_page_size=10)
    carry_in(store, DATA / "hermes-0.19" / "sessions.json")
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


def test_a_bad_row_is_a_value() -> None:
    assert BadRow("k", "p") == BadRow("k", "p")
