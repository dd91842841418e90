"""What a session has handled goes with it: a message is handled once, also over a move."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fakeredis
import pytest

from redisstore import CorruptEntry, DuplicateMessage, SessionStore
from redisstore.fields import to_ms
from redisstore.transfer import export_file, import_file, verify_file
from tests.conftest import SITES, OpenStore, Site
from tests.entries import key, source
from tests.transfer.databases import SCOPE
from tests.transfer.files import KEY, Put, carry_in, carry_out, compare, row
from tests.turns import begun, direct_client

ADA, BOB = key("ada"), key("bob")
FORMS: dict[str, dict[str, str]] = {"out.json": {}, "out.db": {"scope": SCOPE}}
HOUR = timedelta(hours=1)
ZONE = "America/New_York"


def handle(store: SessionStore, name: str, *message_ids: str) -> None:
    for message_id in message_ids:
        begun(store, name, message_id).end(output_tokens=1)


def is_known(store: SessionStore, name: str, message_id: str) -> bool:
    try:
        begun(store, name, message_id).__exit__(None, None, None)
    except DuplicateMessage as known:
        return known.state == "done"
    return False


@pytest.fixture
def another(site: Site, open_store: OpenStore, namespace: str) -> SessionStore:
    """A store of another namespace on the same site, with another number of partitions."""
    partitions = {1: 4, 4: 1, 64: 32}[site.partitions]
    return open_store(namespace=f"{namespace}-moved", partitions=partitions)


@pytest.mark.parametrize("form", FORMS)
def test_a_message_is_handled_once_over_a_move(
    store: SessionStore, another: SessionStore, tmp_path: Path, form: str
) -> None:
    handle(store, "ada", "m-done", "m-2")
    turn = begun(store, "bob", "b-1")
    assert store.take_message(BOB, "b-2", if_turn=turn)
    assert store.take_message(BOB, "b-3")
    turn.end(output_tokens=1)
    lost = begun(store, "bob", "b-lost")
    lost.__exit__(KeyError, KeyError(), None)
    out = tmp_path / form
    report = carry_out(store, out, ZONE, **FORMS[form])
    assert (int(report), report.left_out, report.inexact) == (2, (), {})
    assert carry_in(another, out, ZONE).created == 2
    assert compare(another, out, ZONE).equal == 2
    for name, message_ids in {"ada": ("m-done", "m-2"), "bob": ("b-1", "b-2", "b-3")}.items():
        assert another.handled_messages(key(name)) == store.handled_messages(key(name))
        assert all(is_known(another, name, message_id) for message_id in message_ids)
    assert not is_known(another, "bob", "b-lost")
    assert not is_known(another, "ada", "m-3")
    assert list(another.audit()) == []


def test_what_a_session_has_handled_is_read_in_pages(
    store: SessionStore, another: SessionStore, tmp_path: Path
) -> None:
    """More than a call takes: of one session, of several together, and exactly so many."""
    now = datetime.now(UTC).replace(microsecond=0)
    sizes = {"none": 0, "few": 3, "full": 500, "many": 1203, "some": 499, "one": 1}
    handled = {
        key(name): {f"{name} {n}": now - n * timedelta(milliseconds=n % 7) for n in range(size)}
        for name, size in sizes.items()
    }
    for name in sizes:
        store.get_or_create_session(source(name))
    entries = list(store.list_sessions())
    assert {verdict for _, verdict in store.import_sessions(entries, handled=handled)} == {"kept"}
    assert {entry.session_key: dict(it) for entry, it in store.export_sessions()} == handled
    assert {lane: store.handled_messages(lane) for lane in handled} == handled
    latest_first = list(store.handled_messages(key("many")).values())
    assert latest_first == sorted(latest_first, reverse=True)
    carry_out(store, tmp_path / "out.json")
    carry_in(another, tmp_path / "out.json")
    assert {entry.session_key: dict(it) for entry, it in another.export_sessions()} == handled


@pytest.mark.parametrize("site", ["memory", "valkey-9.1/4"], indirect=True)
def test_an_import_again_changes_nothing_and_takes_nothing_away(
    store: SessionStore, another: SessionStore, tmp_path: Path
) -> None:
    handle(store, "ada", "m-1")
    out = tmp_path / "out.json"
    carry_out(store, out)
    carry_in(another, out)
    before = another.handled_messages(ADA)
    assert carry_in(another, out).kept == 1
    assert another.handled_messages(ADA) == before == store.handled_messages(ADA)
    handle(another, "ada", "m-2")
    another.take_message(BOB, "b-1")
    assert carry_in(another, out).kept == 1
    assert another.handled_messages(ADA).keys() == {"m-1", "m-2"}
    assert another.handled_messages(BOB).keys() == {"b-1"}


@pytest.mark.parametrize("site", [name for name in SITES if name != "cluster"], indirect=True)
def test_a_message_is_forgotten_when_it_would_have_been(open_store: OpenStore, site: Site) -> None:
    store = open_store(message_id_ttl=3 * HOUR.total_seconds())
    session = store.get_or_create_session(source("ada"))
    seen = store.layout().space.partition_of(ADA).seen(ADA)  # type: ignore[union-attr]
    now = datetime.now(UTC).replace(microsecond=0)

    def take_in(**ages: timedelta) -> None:
        handled = {ADA: {name: now - age for name, age in ages.items()}}
        ((_, verdict),) = store.import_sessions([session], handled=handled)
        assert verdict == "kept"

    with direct_client(site) as client:

        def expires() -> datetime:
            """When the set does, to the nearest minute, for the clock of the server runs."""
            return now + round(timedelta(milliseconds=client.pttl(seen)) / timedelta(minutes=1)) * (
                timedelta(minutes=1)
            )

        take_in(old=3 * HOUR, older=30 * HOUR)
        assert client.exists(seen) == 0
        take_in(young=HOUR, middle=2 * HOUR, old=3 * HOUR)
        assert store.handled_messages(ADA) == {"young": now - HOUR, "middle": now - 2 * HOUR}
        assert expires() == now + 2 * HOUR
        take_in(middle=2.5 * HOUR, young=2.5 * HOUR, late=2.5 * HOUR)
        assert store.handled_messages(ADA)["young"] == now - HOUR, "the later of two times stays"
        assert store.handled_messages(ADA)["late"] == now - 2.5 * HOUR
        assert expires() == now + 2 * HOUR, "nothing is forgotten sooner"
        take_in(ahead=-9 * HOUR)
        assert expires() == now + 3 * HOUR, "no set lives longer than that of a message done now"
        client.persist(seen)
        take_in(more=HOUR)
        assert client.pttl(seen) == -1
        client.pexpire(seen, 60_000_000)


@pytest.mark.parametrize("site", ["memory", "valkey-9.1"], indirect=True)
def test_any_message_id_goes_along(
    store: SessionStore, another: SessionStore, tmp_path: Path
) -> None:
    strange = ["a b", " ", "\n", "\0", "{x}", "é" * 512, "x" * 1024, "_", '"', "handled_messages"]
    for message_id in strange:
        assert store.take_message(ADA, message_id)
    store.get_or_create_session(source("ada"))
    carry_out(store, tmp_path / "out.json")
    carry_in(another, tmp_path / "out.json")
    assert another.handled_messages(ADA) == store.handled_messages(ADA)
    assert another.handled_messages(ADA).keys() == set(strange)
    lines = (tmp_path / "out.json").read_text().splitlines()
    assert [json.loads("{" + line.rstrip(",") + "}").keys() for line in lines[1:-1]] == [{ADA}]


def test_a_comparison_tells_what_would_be_handled_again(local: SessionStore, put: Put) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    at = {"m-1": now - HOUR, "m-2": now - 2 * HOUR, "forgotten": now - 25 * HOUR}

    def file(**handled: datetime) -> Path:
        texts = {message_id: moment.isoformat() for message_id, moment in handled.items()}
        return put({KEY: row(handled_messages=texts)})

    path = file(**{"m-1": now - 3 * HOUR})
    import_file(local, path, zone=ZONE)
    assert verify_file(local, path, zone=ZONE).equal == 1
    local.update_session(KEY, input_tokens=1)
    path = file(**at)
    (difference,) = verify_file(local, path, zone=ZONE).differing
    assert difference.newer == "store"
    lost = [field for field in difference.fields if field.name.startswith("handled_messages.")]
    assert [(field.name, field.file, field.store) for field in lost] == [
        ("handled_messages.m-1", at["m-1"], now - 3 * HOUR),
        ("handled_messages.m-2", at["m-2"], None),
    ]
    report = import_file(local, path, zone=ZONE, amend=True)
    assert (report.kept, report.amended) == (1, 0)
    compared = verify_file(local, path, zone=ZONE)
    assert (len(compared.moved_on), compared.agrees) == (1, True)
    assert local.handled_messages(KEY).keys() == {"m-1", "m-2"}


BAD: dict[str, Any] = {
    "no object": ["m-1"],
    "a text": "m-1",
    "no time": {"m-1": "yesterday"},
    "a number": {"m-1": 1793523600000},
    "null": {"m-1": None},
    "an empty id": {"": "2026-01-02T10:00:00+00:00"},
    "before 1970": {"m-1": "1969-01-02T10:00:00+00:00"},
    "no text": {"\ud800": "2026-01-02T10:00:00+00:00"},
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_messages_that_cant_be_read_cost_no_row(local: SessionStore, put: Put, value: Any) -> None:
    report = import_file(local, put({KEY: row(handled_messages=value)}), zone=ZONE)
    assert (report.created, report.bad) == (1, ())
    assert report.not_carried_over == {"handled_messages": 1}
    assert local.handled_messages(KEY) == {}


@pytest.mark.parametrize("value", [None, {}], ids=["null", "none"])
def test_a_row_without_them_is_as_good(local: SessionStore, put: Put, value: object) -> None:
    report = import_file(local, put({KEY: row(handled_messages=value)}), zone=ZONE)
    assert (report.created, report.not_carried_over) == (1, {})


def test_an_id_that_is_too_long_is_told_with_its_row(local: SessionStore, put: Put) -> None:
    moment = datetime.now(UTC).isoformat()
    path = put({KEY: row(handled_messages={"x" * 2000: moment, "m-1": moment})})
    report = import_file(local, path, zone=ZONE)
    assert [(bad.key, bad.problem.partition(":")[0]) for bad in report.bad] == [
        (KEY, "handled_messages")
    ]
    assert local.get_session(KEY) is None
    assert local.handled_messages(KEY) == {}


@pytest.mark.damages
@pytest.mark.parametrize("site", ["memory", "valkey-9.1", "redis-7.0"], indirect=True)
def test_damage_is_told_and_keeps_the_others_moving(
    store: SessionStore, another: SessionStore, site: Site, tmp_path: Path
) -> None:
    handle(store, "ada", "m-1")
    handle(store, "bob", "b-1")
    out, damaged = tmp_path / "out.json", tmp_path / "damaged.json"
    carry_out(store, out)
    with direct_client(site) as client:
        for one in (store, another):
            one.get_or_create_session(source("eve"))
            seen = one.layout().space.partition_of(ADA).seen(ADA)  # type: ignore[union-attr]
            client.delete(seen)
            client.hset(seen, "no", "set")
    written = carry_out(store, damaged)
    assert int(written) == 3
    assert [bad.problem for bad in written.left_out] == ["it is not a sorted set"]
    with pytest.raises(CorruptEntry):
        store.handled_messages(ADA)
    report = carry_in(another, out)
    assert (report.created, [bad.key for bad in report.bad]) == (1, [ADA])
    assert "damaged" in report.bad[0].problem
    assert is_known(another, "bob", "b-1")


def test_scores_that_are_no_times_are_passed_over(tmp_path: Path) -> None:
    client = fakeredis.FakeRedis()
    with SessionStore(client) as store:
        store.get_or_create_session(source("ada"))
        now = datetime.now(UTC).replace(microsecond=0)
        odd = {"half": 1.5, "far": 1e300, "endless": float("inf"), "before": -5}
        client.zadd("{redisstore}:seen:" + ADA, {**odd, "good": to_ms(now)})
        assert store.handled_messages(ADA) == {"good": now}
        assert int(export_file(store, tmp_path / "out.json", zone=ZONE)) == 1
    (exported,) = json.loads((tmp_path / "out.json").read_text()).values()
    assert exported["handled_messages"] == {"good": now.isoformat()}


@pytest.mark.parametrize("site", ["memory", "valkey-9.1"], indirect=True)
def test_a_message_that_is_done_between_two_pages_is_not_missed(
    open_store: OpenStore, tmp_path: Path
) -> None:
    store = open_store(list_page_size=10)
    for number in range(30):
        handle(store, str(number), "m-1")
    told: list[str] = []
    for entry, handled in store.export_sessions():
        if not told:
            handle(store, "29", "m-2")
        told.append(entry.session_key)
        assert "m-1" in handled
    carry_out(store, tmp_path / "out.json")
    rows = json.loads((tmp_path / "out.json").read_text())
    assert rows[key("29")]["handled_messages"].keys() == {"m-1", "m-2"}
