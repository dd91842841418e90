"""Data damaged by hand: named by an audit, in nobody's way, and put right where it can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from redisstore import CorruptEntry, LayoutMismatch, SessionId, SessionStore, StoreConfig
from tests.conftest import Sites
from tests.entries import DAY, NOW, aged, key, put, source
from tests.servers import BACKEND_NAMES

pytestmark = pytest.mark.damages

ENTRY = "{damaged}:entry:" + key("bad")
INDEX = "{damaged}:updated_at"


@pytest.fixture(params=BACKEND_NAMES)
def raw(request: pytest.FixtureRequest, sites: Sites) -> Iterator[redis.Redis]:
    with sites.server(request.param).client() as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def store(raw: redis.Redis) -> SessionStore:
    """Three old sessions: one to be damaged between two that are sound."""
    store = SessionStore(raw, config=StoreConfig(namespace="damaged"))
    put(store, [aged("first", 102 * DAY), aged("bad", 101 * DAY), aged("last", 100 * DAY)])
    return store


def replace_by_string(raw: redis.Redis) -> None:
    raw.delete(ENTRY)
    raw.set(ENTRY, "a string where the hash should be")


ENTRY_DAMAGES: dict[str, tuple[Callable[[redis.Redis], object], str]] = {
    "a string": (replace_by_string, "is a string, not a hash"),
    "no session_id": (lambda raw: raw.hdel(ENTRY, "session_id"), "session_id is missing"),
    "no updated_at": (lambda raw: raw.hdel(ENTRY, "updated_at"), "updated_at is not a whole"),
    "no created_at": (lambda raw: raw.hdel(ENTRY, "created_at"), "created_at is not a whole"),
    "no version": (lambda raw: raw.hdel(ENTRY, "version"), "version is not a whole"),
    "a date as text": (lambda raw: raw.hset(ENTRY, "updated_at", "yesterday"), "updated_at is not"),
    "a fraction": (lambda raw: raw.hset(ENTRY, "updated_at", "1.5"), "updated_at is not"),
    "no UTF-8": (lambda raw: raw.hset(ENTRY, "session_id", b"\xff\xfe"), "session_ids index"),
}


@pytest.mark.parametrize("damage", ENTRY_DAMAGES)
def test_a_damaged_entry_is_in_nobodys_way(
    store: SessionStore, raw: redis.Redis, damage: str
) -> None:
    inflict, problem = ENTRY_DAMAGES[damage]
    inflict(raw)
    faults = list(store.audit())
    assert any(problem in fault.problem for fault in faults), faults
    assert all(key("bad") in fault.where for fault in faults)

    with pytest.raises(CorruptEntry, match="bad"):
        store.get_session(key("bad"))

    damaged: list[CorruptEntry] = []
    listed = [entry.session_key for entry in store.list_sessions(on_damaged=damaged.append)]
    assert listed == [key("last"), key("first")]
    assert [error.key for error in damaged] == [ENTRY]
    assert store.count_sessions() == 3
    assert store.suspend_recently_active() == 0


@pytest.mark.parametrize("damage", [name for name in ENTRY_DAMAGES if name != "no UTF-8"])
def test_a_damaged_entry_fails_alone_and_can_be_deleted(
    store: SessionStore, raw: redis.Redis, damage: str
) -> None:
    ENTRY_DAMAGES[damage][0](raw)
    bad = key("bad")
    for call in (
        lambda: store.get_or_create_session(source("bad")),
        lambda: store.get_or_create_session(source("bad"), force_new=True),
        lambda: store.update_session(bad),
        lambda: store.suspend_session(bad),
        lambda: store.mark_resume_pending(bad),
        lambda: store.reset_session(bad),
        lambda: store.set_model_override(bad, {"model": "m"}),
        lambda: store.amend_session(bad, {"display_name": "Bad", "session_id": SessionId("x")}),
    ):
        before = raw.dump(ENTRY)
        with pytest.raises(CorruptEntry, match="damaged"):
            call()
        assert raw.dump(ENTRY) == before
    assert store.get_or_create_session(source("first")).session_key == key("first")
    assert store.delete_session(bad)
    assert store.get_or_create_session(source("bad")).version == 1


@pytest.mark.parametrize("damage", ["a string", "no updated_at", "a date as text", "a fraction"])
def test_prune_passes_a_damaged_entry_over_and_says_so(
    store: SessionStore, raw: redis.Redis, damage: str
) -> None:
    ENTRY_DAMAGES[damage][0](raw)
    report = store.prune_old_entries(before=NOW - 90 * DAY)
    assert (report.removed, report.kept["damaged"]) == (2, 1)
    assert raw.exists(ENTRY) == 1


def test_prune_takes_out_index_members_without_an_entry(
    store: SessionStore, raw: redis.Redis
) -> None:
    raw.delete(ENTRY)
    raw.zadd("{damaged}:expiry", {key("bad"): 1})
    report = store.prune_old_entries(before=NOW - 90 * DAY)
    assert (report.removed, report.repaired) == (2, 1)
    assert raw.zcard(INDEX) == 0
    assert raw.zcard("{damaged}:expiry") == 0


def test_prune_judges_by_the_entry_and_puts_its_index_right(
    store: SessionStore, raw: redis.Redis
) -> None:
    raw.zadd(INDEX, {key("bad"): 1})
    assert store.prune_old_entries(before=NOW - 101 * DAY).removed == 1
    found = store.get_session(key("bad"))
    assert found is not None
    assert raw.zscore(INDEX, key("bad")) == found.updated_at.timestamp() * 1000


def lapses_too_early(raw: redis.Redis) -> None:
    raw.zadd("{damaged}:holds:" + key("bad"), {"cron": 5})
    raw.zadd("{damaged}:active", {key("bad"): 4})


INDEX_DAMAGES: dict[str, tuple[Callable[[redis.Redis], object], str]] = {
    "member without entry": (lambda raw: raw.delete(ENTRY), "has no entry"),
    "entry without member": (lambda raw: raw.zrem(INDEX, key("bad")), "missing in the updated_at"),
    "wrong time": (lambda raw: raw.zadd(INDEX, {key("bad"): 5}), "another time"),
    "id not indexed": (
        lambda raw: raw.delete(*raw.keys("{damaged}:session_ids:*")),
        "missing in the session_ids index",
    ),
    "id of nobody": (
        lambda raw: raw.hset("{damaged}:session_ids:0_x", key("bad"), "20260101_000000_x"),
        "bound by no entry",
    ),
    "id in a wrong place": (
        lambda raw: raw.hset("{damaged}:session_ids:?", key("bad"), raw.hget(ENTRY, "session_id")),
        "bound by no entry",
    ),
    "expiry of nobody": (lambda raw: raw.zadd("{damaged}:expiry", {key("ghost"): 5}), "no entry"),
    "active of nobody": (lambda raw: raw.zadd("{damaged}:active", {key("ghost"): 5}), "no entry"),
    "active without holds": (
        lambda raw: raw.zadd("{damaged}:active", {key("bad"): 5}),
        "has no holds",
    ),
    "active before its holds": (lapses_too_early, "before its last hold does"),
    "holds without active": (
        lambda raw: raw.zadd("{damaged}:holds:" + key("bad"), {"cron": 5}),
        "missing in the active set",
    ),
}


@pytest.mark.parametrize("damage", INDEX_DAMAGES)
def test_an_index_is_put_right(store: SessionStore, raw: redis.Redis, damage: str) -> None:
    inflict, problem = INDEX_DAMAGES[damage]
    assert list(store.audit()) == []
    inflict(raw)
    faults = list(store.audit())
    assert any(problem in fault.problem for fault in faults), faults
    assert list(store.audit()) == faults
    assert list(store.audit(repair=True)) == faults
    assert list(store.audit()) == []


@pytest.mark.parametrize("index", ["updated_at", "expiry", "active"])
def test_an_index_of_a_wrong_type_stops_writes_before_the_first(
    store: SessionStore, raw: redis.Redis, index: str
) -> None:
    raw.delete("{damaged}:" + index)
    raw.set("{damaged}:" + index, "not an index")
    before = {name: raw.dump(name) for name in raw.keys("{damaged}:*")}
    with pytest.raises(CorruptEntry, match=index):
        store.get_or_create_session(source("new"))
    with pytest.raises(CorruptEntry, match=index):
        store.prune_old_entries(before=NOW)
    with pytest.raises(CorruptEntry, match=index):
        store.delete_session(key("first"))
    after = {name: raw.dump(name) for name in raw.keys("{damaged}:*")}
    assert after == before


def test_a_foreign_key_is_named(store: SessionStore, raw: redis.Redis) -> None:
    raw.set("{damaged}:notes", "by hand")
    assert [fault.problem for fault in store.audit()] == ["is no key of this layout"]


def test_fields_of_another_version_stay(store: SessionStore, raw: redis.Redis) -> None:
    raw.hset(ENTRY, "from_the_future", "kept")
    store.get_or_create_session(source("bad"))
    store.reset_session(key("bad"))
    store.amend_session(key("bad"), {"display_name": "Bad", "session_id": SessionId("x")})
    put(store, [aged("bad", -DAY / 2)])
    assert raw.hget(ENTRY, "from_the_future") == b"kept"
    assert list(store.audit()) == []


def test_a_late_write_after_a_delete_makes_no_half_entry(
    store: SessionStore, raw: redis.Redis
) -> None:
    bad = key("bad")
    store.delete_session(bad)
    assert store.update_session(bad, 5, input_tokens=1) is None
    assert not store.suspend_session(bad)
    assert not store.mark_resume_pending(bad)
    assert not store.set_model_override(bad, {"model": "m"})
    assert store.amend_session(bad, {"total_tokens": 1, "session_id": SessionId("x")}) is None
    assert store.reset_session(bad) is None
    assert raw.exists(ENTRY) == 0
    assert list(store.audit()) == []


@pytest.mark.parametrize("index", ["updated_at", "expiry", "active"])
def test_an_audit_names_an_index_of_a_wrong_type(
    store: SessionStore, raw: redis.Redis, index: str
) -> None:
    raw.delete("{damaged}:" + index)
    raw.set("{damaged}:" + index, "not an index")
    faults = list(store.audit(repair=True))
    assert [(fault.where, fault.problem) for fault in faults] == [
        ("{damaged}:" + index, "is not a sorted set")
    ]


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_flush_under_a_running_store_does_not_start_a_second_one_beside_it(
    raw: redis.Redis, partitions: int
) -> None:
    """The scripts stay cached over a FLUSHALL, so nothing else would show it."""
    running = SessionStore(raw, config=StoreConfig(namespace="damaged", partitions=partitions))
    for name in map(str, range(20)):
        running.get_or_create_session(source(name))
    raw.flushall()
    ada = running.get_or_create_session(source("ada"))
    put(running, [aged("bob", DAY)])
    newcomer = SessionStore(raw, config=StoreConfig(namespace="damaged"))
    assert newcomer.get_or_create_session(source("ada")).session_id == ada.session_id
    assert newcomer.count_sessions() == 2
    raw.flushall()
    stranger = SessionStore(raw, config=StoreConfig(namespace="damaged", partitions=7))
    stranger.get_or_create_session(source("ada"))
    with pytest.raises(LayoutMismatch):
        running.get_or_create_session(source("ada"))


def test_what_creates_nothing_leaves_no_trace_in_an_empty_redis(raw: redis.Redis) -> None:
    store = SessionStore(raw, config=StoreConfig(namespace="damaged"))
    assert store.prune_old_entries().removed == 0
    assert store.suspend_recently_active() == 0
    assert not store.delete_session(key("bad"))
    assert not store.suspend_session(key("bad"))
    assert store.reset_session(key("bad")) is None
    assert store.renew_holds([(key("bad"), "cron")]) == {(key("bad"), "cron"): None}
    assert list(store.list_sessions()) == []
    assert list(store.audit()) == []
    assert raw.keys("*") == []
