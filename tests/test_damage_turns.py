"""Turns, queues, locks and what else is of no entry, damaged by hand: named, and put right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import pytest
import redis

from redisstore import (
    CorruptEntry,
    SessionId,
    SessionResetPolicy,
    SessionStore,
    StoreConfig,
    TurnLost,
)
from redisstore.calls.audit import Fault
from redisstore.calls.leases import renew
from tests.conftest import Sites
from tests.entries import DAY, NOW, aged, key, put, source
from tests.servers import BACKEND_NAMES
from tests.turns import begun

pytestmark = pytest.mark.damages

PREFIX = "{damaged}:"
ADA, BOB = key("ada"), key("bob")
TURN, QUEUE, SEEN = (f"{PREFIX}{kind}:{ADA}" for kind in ("turn", "queue", "seen"))
ID = SessionId("20260101_000000_0123456789ab")
UNSHARED = "turns would not exclude those of the others"


@pytest.fixture(params=BACKEND_NAMES)
def raw(request: pytest.FixtureRequest, sites: Sites) -> Iterator[redis.Redis]:
    with sites.server(request.param).client() as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def store(raw: redis.Redis) -> Iterator[SessionStore]:
    """Two sessions that share an id, and a turn on one of them; a message was handled before."""
    config = StoreConfig(namespace="damaged", replica="tester")
    with SessionStore(raw, config=config) as store:
        begun(store, "ada", "m-0").end()
        store.get_or_create_session(source("bob"))
        store.switch_session(ADA, ID)
        store.switch_session(BOB, ID)
        begun(store, "ada", "m-1")
        assert list(store.audit()) == []
        yield store


def replaced(raw: redis.Redis, name: str) -> None:
    raw.delete(name)
    raw.set(name, "a string where something else should be")


def without_entry(raw: redis.Redis) -> None:
    raw.delete(PREFIX + "entry:" + ADA)
    raw.rpush(QUEUE, "tester/0/1 m-2")


def without_holder(raw: redis.Redis) -> None:
    raw.delete(f"{PREFIX}lock:{ID}")
    raw.rpush(f"{PREFIX}lock_queue:{ID}", f"tester/0/1 {BOB}")


DAMAGES: dict[str, tuple[Callable[[redis.Redis], object], str]] = {
    "turn without member": (lambda raw: raw.zrem(PREFIX + "turns", ADA), "missing in the turns"),
    "member without turn": (lambda raw: raw.delete(TURN), "turns index, but has no turn"),
    "member without entry": (lambda raw: raw.zadd(PREFIX + "turns", {key("x"): 5}), "no entry"),
    "turn and queue without entry": (without_entry, "has a turn or a queue, but no entry"),
    "queue without turn": (
        lambda raw: raw.rpush(f"{PREFIX}queue:{BOB}", "tester/0/1 m-2"),
        "has a queue, but no turn",
    ),
    "turn of a wrong type": (lambda raw: replaced(raw, TURN), "of a wrong type"),
    "queue of a wrong type": (lambda raw: raw.set(QUEUE, "text"), "of a wrong type"),
    "lock without member": (lambda raw: raw.zrem(PREFIX + "locks", ID), "missing in the locks"),
    "member without lock": (lambda raw: raw.zadd(PREFIX + "locks", {"x": 5}), "has no lock"),
    "queue without lock": (without_holder, "waits for a lock that nobody has"),
    "sharer that is not marked": (
        lambda raw: raw.hdel(f"{PREFIX}entry:{BOB}", "id_home"),
        UNSHARED,
    ),
    "messages for ever": (lambda raw: raw.persist(SEEN), "has no TTL"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_named_and_put_right(
    store: SessionStore, raw: redis.Redis, damage: str
) -> None:
    inflict, problem = DAMAGES[damage]
    inflict(raw)
    faults = list(store.audit())
    assert any(problem in fault.problem for fault in faults), faults
    assert list(store.audit()) == faults
    list(store.audit(repair=True))
    assert list(store.audit()) == []
    # What of the turn is left lapses, and others can have its lane and its session.
    raw.zadd(PREFIX + "turns", {ADA: 1}, xx=True)
    raw.zadd(PREFIX + "locks", {ID: 1}, xx=True)
    store.recover_turns()
    for name in ("ada", "bob"):
        begun(store, name, f"m-{name}").end()
    assert list(store.audit()) == []


KEPT_FOR_A_PERSON = {
    "messages": (SEEN, "is a string, not a sorted set"),
    "events": (PREFIX + "events", "is a string, not a stream"),
    "a lock": (f"{PREFIX}lock:{ID}", "is a string, not a hash"),
    "replicas": (PREFIX + "replicas", "is a string, not a sorted set"),
    "a replica": (PREFIX + "replica:tester", "is a string, not a hash"),
    "a job": (PREFIX + "job:prune", "is a string, not a hash"),
    "the fence": (PREFIX + "fence", "is not a whole number"),
}


@pytest.mark.parametrize("damage", KEPT_FOR_A_PERSON)
def test_a_key_of_a_wrong_type_is_named_and_left_to_a_person(
    store: SessionStore, raw: redis.Redis, damage: str
) -> None:
    name, problem = KEPT_FOR_A_PERSON[damage]
    replaced(raw, name)
    assert Fault(name, problem) in store.audit(repair=True)
    assert raw.type(name) == b"string"


@pytest.mark.parametrize("index", ["turns", "locks"])
def test_an_index_of_a_wrong_type_is_named(
    store: SessionStore, raw: redis.Redis, index: str
) -> None:
    replaced(raw, PREFIX + index)
    assert list(store.audit(repair=True)) == [Fault(PREFIX + index, "is not a sorted set")]


@pytest.mark.parametrize("kind", ["turn", "queue"])
def test_a_damaged_turn_keeps_no_other_from_being_recovered(
    store: SessionStore, raw: redis.Redis, kind: str
) -> None:
    begun(store, "cay", "m-1")
    begun(store, "dan", "m-1")
    replaced(raw, f"{PREFIX}{kind}:{key('cay')}")
    with pytest.raises(CorruptEntry):
        begun(store, "cay")
    raw.zadd(PREFIX + "turns", {key("cay"): 1, key("dan"): 2})
    assert key("dan") in [turn.session_key for turn in store.list_turns()]
    store.recover_turns()
    assert list(store.audit()) == []
    begun(store, "cay").end()
    begun(store, "dan", "m-1").end()


def test_a_damaged_turn_keeps_no_other_from_being_renewed(
    store: SessionStore, raw: redis.Redis
) -> None:
    turns = [begun(store, "cay"), begun(store, "dan")]
    replaced(raw, PREFIX + "turn:" + key("cay"))
    held = [turn.lease for turn in turns]
    renewed = store._complete(lambda context: renew(context, held))
    assert [renewed[lease] is None for lease in held] == [True, False]
    turns[1].end()


@pytest.mark.parametrize("name", [TURN, QUEUE, SEEN, PREFIX + "turns", PREFIX + "entry:" + ADA])
def test_a_message_is_not_half_taken_where_a_key_is_damaged(
    store: SessionStore, raw: redis.Redis, name: str
) -> None:
    turn = begun(store, "cay", "m-1")
    assert store.take_message(key("cay"), "m-0")
    replaced(raw, name.replace(ADA, key("cay")))
    before = {found: raw.dump(found) for found in raw.keys("*")}
    with pytest.raises(CorruptEntry):
        store.take_message(key("cay"), "m-2", if_turn=turn)
    assert {found: raw.dump(found) for found in raw.keys("*")} == before


def test_a_turn_whose_count_of_messages_is_damaged_still_takes_some(
    store: SessionStore, raw: redis.Redis
) -> None:
    turn = begun(store, "cay", "m-1")
    raw.hset(f"{PREFIX}turn:{key('cay')}", "takes", "many")
    assert store.take_message(key("cay"), "m-2", if_turn=turn)
    turn.end()
    assert store.take_message(key("cay"), "m-2") is False


def test_a_fence_that_is_no_number_does_not_stop_turns(
    store: SessionStore, raw: redis.Redis
) -> None:
    raw.set(PREFIX + "fence", "seven")
    turn = begun(store, "cay")
    assert raw.get(PREFIX + "fence") == str(turn.fence).encode()
    turn.end()


def test_prune_takes_the_turn_of_a_vanished_entry_along(
    store: SessionStore, raw: redis.Redis
) -> None:
    put(store, [aged("old", 100 * DAY)])
    turn = begun(store, "old")
    raw.zadd(PREFIX + "updated_at", {key("old"): 1})
    raw.delete(PREFIX + "entry:" + key("old"))
    assert store.prune_old_entries(before=NOW - 90 * DAY).repaired == 1
    assert raw.exists(PREFIX + "turn:" + key("old")) == 0
    with pytest.raises(TurnLost):
        turn.update(output_tokens=1)


def test_an_id_that_begins_like_another_is_not_taken_for_shared(store: SessionStore) -> None:
    put(store, [aged("x", DAY).model_copy(update={"session_id": SessionId("room")})])
    put(store, [aged("y", DAY).model_copy(update={"session_id": SessionId("room 2")})])
    assert list(store.audit()) == []


@pytest.mark.parametrize("partitions", [1, 4])
def test_ids_that_begin_alike_are_imported_as_different_ones(
    raw: redis.Redis, partitions: int
) -> None:
    config = StoreConfig(namespace="damaged", partitions=partitions)
    with SessionStore(raw, config=config) as store:
        for name, session_id in [("ada", "room a"), ("bob", "room b"), ("cay", "room")]:
            put(store, [aged(name, DAY).model_copy(update={"session_id": SessionId(session_id)})])
        assert {entry.version for entry in store.list_sessions()} == {1}


def test_the_keys_of_the_store_as_a_whole_are_looked_at_beside_several_partitions(
    raw: redis.Redis,
) -> None:
    config = StoreConfig(namespace="damaged", partitions=4)
    with SessionStore(raw, config=config) as store:
        store.get_or_create_session(source("ada"))
        raw.set(PREFIX + "job:prune", "text")
        raw.set(PREFIX + "entry:" + ADA, "of a store with one partition")
        raw.set("{damagedtoo}:entry:x", "of another store")
        home = store.layout().space.partition_of(ADA)  # type: ignore[union-attr]
        raw.set(home.prefix + "replicas", "text")
        assert {(fault.where, fault.problem) for fault in store.audit()} == {
            (PREFIX + "job:prune", "is a string, not a hash"),
            (PREFIX + "entry:" + ADA, "is no key of this layout"),
            (home.prefix + "replicas", "is no key of this layout"),
        }


def test_sharers_in_several_partitions_are_marked_in_all_of_them(raw: redis.Redis) -> None:
    config = StoreConfig(namespace="damaged", partitions=4)
    with SessionStore(raw, config=config) as store:
        names = [str(number) for number in range(9)]
        for name in names:
            store.get_or_create_session(source(name))
            store.switch_session(key(name), ID)
        homes = [store.layout().space.partition_of(key(name)) for name in names]  # type: ignore[union-attr]
        for name, home in zip(names, homes, strict=True):
            raw.hdel(home.entry(key(name)), "id_home")
        assert all(UNSHARED in fault.problem for fault in store.audit(repair=True))
        assert list(store.audit()) == []
        marks = {
            raw.hget(home.entry(key(name)), "id_home")
            for name, home in zip(names, homes, strict=True)
        }
        assert len(marks) == 1
        assert None not in marks


@pytest.mark.parametrize("mode", ["none", "daily", "both"])
@pytest.mark.parametrize("index", ["updated_at", "expiry", "turns", "fence"])
def test_a_message_that_meets_an_index_of_a_wrong_type_leaves_all_as_it_was(
    raw: redis.Redis, index: str, mode: Literal["none", "daily", "both"]
) -> None:
    config = StoreConfig(namespace="damaged", default_reset_policy=SessionResetPolicy(mode=mode))
    with SessionStore(raw, config=config) as store:
        store.get_or_create_session(source("idle"))
        turn = begun(store, "busy", "m-1")
        raw.delete(PREFIX + index)
        raw.rpush(PREFIX + index, "not what it should be")
        before = all_that_matters(raw)
        calls: list[Callable[[], object]] = [lambda: begun(store, "idle", "m-2")]
        if index != "fence":
            calls.append(turn.end)
        if index in {"updated_at", "expiry"}:
            calls.append(lambda: store.get_or_create_session(source("idle")))
        for call in calls:
            with pytest.raises(CorruptEntry):
                call()
            assert all_that_matters(raw) == before


def all_that_matters(raw: redis.Redis) -> dict[bytes, object]:
    """What is stored, but for a fence drawn in vain, and what was noted of a turn given up."""
    passing = tuple((PREFIX + kind).encode() for kind in ("fence", "op:"))
    names: list[bytes] = [*raw.scan_iter(PREFIX + "*")]
    return {name: raw.dump(name) for name in names if not name.startswith(passing)}
