"""What an import takes from a row, and which rows and files it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import fakeredis
import pytest

from redisstore import InvalidInput, ModelOverride, SessionKey, SessionStore
from redisstore.transfer import export_file, import_file
from tests.transfer.files import COUNTERS, FLAGS, FULL, KEY, TEXTS, Put, origin, row


def test_every_field_is_carried_over(local: SessionStore, put: Put) -> None:
    import_file(local, put({KEY: FULL}), zone="UTC")
    entry = local.get_session(KEY)
    assert entry is not None
    for name in (*COUNTERS, *FLAGS, *TEXTS):
        assert getattr(entry, name) == FULL[name], name
    assert entry.estimated_cost_usd == Decimal("0.1")
    assert entry.updated_at == datetime(2026, 1, 2, 10, 0, 0, 123000, tzinfo=UTC)
    assert entry.last_resume_marked_at == datetime(2026, 1, 2, 11, tzinfo=UTC)
    assert entry.model_override == ModelOverride(model="m", provider="p", base_url="https://h/v1")
    assert entry.origin is not None
    assert entry.origin.model_dump() == {
        **{name: value for name, value in FULL["origin"].items() if name != "scope_id"},
        "is_bot": True,
    }


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
    source = {"platform": "x", "mood": "good", "scope_id": "a", "guild_id": "b"}
    odd = row(origin=source, model_override={"model": "m", "api_key": "k"}, mood="good", gone=None)
    report = import_file(local, put({KEY: odd, "bad": odd}), zone="UTC")
    assert report.not_carried_over == {
        "origin.mood": 1,
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
    "odd chat type": (row(chat_type="a:b"), "chat_type"),
    "origin without platform": (row(origin={"chat_id": "4"}), "origin.platform"),
    "odd platform in origin": (origin(platform="a b"), "origin.platform"),
    "odd chat type in origin": (origin(chat_type=""), "origin.chat_type"),
    "flag as id": (origin(user_id=True), "origin.user_id"),
    "huge entry": (row(display_name="x" * 40_000), "display_name"),
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


UNREADABLE_PARTS: dict[str, tuple[dict[str, object], str]] = {
    "odd platform": ({"platform": "tele gram"}, "platform"),
    "number as platform": ({"platform": 5}, "platform"),
    "bad mark": ({"last_resume_marked_at": "?"}, "last_resume_marked_at"),
    "origin is text": ({"origin": "telegram"}, "origin"),
    "override is text": ({"model_override": "gpt"}, "model_override"),
    "odd override": ({"model_override": {"model": []}}, "model_override.model"),
    "secret in override": (
        {"model_override": {"base_url": "https://u:p@h/"}},
        "model_override.base_url",
    ),
}


@pytest.mark.parametrize(("parts", "field"), UNREADABLE_PARTS.values(), ids=UNREADABLE_PARTS)
def test_what_the_gateway_would_do_without_costs_no_row(
    local: SessionStore, put: Put, parts: dict[str, object], field: str
) -> None:
    report = import_file(local, put({KEY: row(**parts)}), zone="UTC")
    assert (report.created, report.bad, report.not_carried_over) == (1, (), {field: 1})
    entry = local.get_session(KEY)
    assert entry is not None
    assert getattr(entry, next(iter(parts))) is None


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
        with pytest.raises(InvalidInput, match=r"^path: "):
            import_file(local, path, zone="UTC")


def test_an_empty_store_of_sessions_is_no_error(local: SessionStore, put: Put) -> None:
    assert import_file(local, put(" {\n} "), zone="UTC").total == 0


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../etc/passwd"])
def test_an_unknown_zone_is_an_error(local: SessionStore, put: Put, zone: str) -> None:
    with pytest.raises(InvalidInput, match=r"^zone: "):
        import_file(local, put({}), zone=zone)
    with pytest.raises(InvalidInput, match=r"^zone: "):
        export_file(local, put({}), zone=zone)


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
