"""The doctor names every kind of damage, and repairs what an index can be rebuilt from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from redisstore import SessionKey, SessionSource, SessionStore
from redisstore.doctor import examine

PREFIX = "{redisstore}:"
KEY = "agent:main:telegram:dm:42"
ENTRY = f"{PREFIX}entry:{KEY}"

Damage = Callable[[redis.Redis], object]


@pytest.fixture
def lane(store: SessionStore) -> SessionKey:
    return store.get_or_create_session(SessionSource(platform="telegram", chat_id="42")).session_key


def faults(store: SessionStore, *, repair: bool = False) -> list[str]:
    return [one.message for one in examine(store, repair=repair) if one.severity == "fault"]


def test_a_sound_store_has_no_faults_and_says_what_was_looked_at(
    store: SessionStore, lane: SessionKey
) -> None:
    store.take_hold(lane, "cron-1", ttl=0.001)
    checks = ["server", "persistence", "memory", "layout", "turns", "holds", "events", "invariants"]
    assert [(one.severity, one.check) for one in examine(store)] == [("ok", it) for it in checks]


def test_an_empty_redis_is_said_to_have_no_store_and_stays_empty(
    store: SessionStore, client: redis.Redis
) -> None:
    findings = list(examine(store, repair=True))
    assert (findings[-1].severity, findings[-1].check) == ("warning", "layout")
    assert findings[-1].message == "there is no store in namespace redisstore"
    assert client.dbsize() == 0


REPAIRABLE: dict[str, tuple[Damage, str]] = {
    "entry without updated_at member": (
        lambda c: c.zrem(f"{PREFIX}updated_at", KEY),
        f"{ENTRY} is missing in the updated_at index",
    ),
    "entry with another time in the index": (
        lambda c: c.zadd(f"{PREFIX}updated_at", {KEY: 1}),
        f"{ENTRY} has another time in the updated_at index",
    ),
    "entry without session_ids member": (
        lambda c: c.delete(*c.keys(f"{PREFIX}session_ids:*")),
        f"{ENTRY} is missing in the session_ids index",
    ),
    "updated_at member without entry": (
        lambda c: c.zadd(f"{PREFIX}updated_at", {"gone": 1}),
        f"{PREFIX}updated_at member gone has no entry",
    ),
    "expiry member without entry": (
        lambda c: c.zadd(f"{PREFIX}expiry", {"gone": 1}),
        f"{PREFIX}expiry member gone has no entry",
    ),
    "active member without entry": (
        lambda c: c.zadd(f"{PREFIX}active", {"gone": 1}),
        f"{PREFIX}active member gone has no entry",
    ),
    "session id bound by no entry": (
        lambda c: c.hset(f"{PREFIX}session_ids:-id", "gone", "an-id"),
        f"{PREFIX}session_ids:-id member gone is bound by no entry",
    ),
    "hold without active member": (
        lambda c: c.zadd(f"{PREFIX}holds:{KEY}", {"cron-1": 9e15}),
        f"{ENTRY} has holds, but is missing in the active set",
    ),
    "active member without hold": (
        lambda c: c.zadd(f"{PREFIX}active", {KEY: 9e15}),
        f"{ENTRY} is in the active set, but has no holds",
    ),
}


@pytest.mark.parametrize("kind", REPAIRABLE)
def test_a_damaged_index_is_named_and_repaired(
    store: SessionStore, lane: SessionKey, client: redis.Redis, kind: str
) -> None:
    damage, message = REPAIRABLE[kind]
    before = store.get_session(lane)
    damage(client)
    assert faults(store) == [message]
    repaired = list(examine(store, repair=True))
    assert [one.severity for one in repaired] == ["ok"] * len(repaired)
    assert f"repaired: {message}" in [one.message for one in repaired]
    assert faults(store) == []
    assert store.get_session(lane) == before


LEFT_TO_A_PERSON: dict[str, tuple[Damage, str]] = {
    "string where the hash should be": (
        lambda c: (c.delete(ENTRY), c.set(ENTRY, "oops")),
        f"{ENTRY} is a string, not a hash",
    ),
    "missing time": (
        lambda c: c.hdel(ENTRY, "updated_at"),
        f"{ENTRY} field updated_at is not a whole number",
    ),
    "missing session id": (
        lambda c: c.hdel(ENTRY, "session_id"),
        f"{ENTRY} field session_id is missing",
    ),
    "counter that is no number": (
        lambda c: c.hset(ENTRY, "input_tokens", "many"),
        f"{ENTRY} field input_tokens is not a whole number",
    ),
    "holds of a wrong type": (
        lambda c: c.set(f"{PREFIX}holds:{KEY}", "oops"),
        f"{ENTRY} has holds of a wrong type",
    ),
    "a key that is none of ours": (
        lambda c: c.set(f"{PREFIX}stranger", "1"),
        f"{PREFIX}stranger is no key of this layout",
    ),
}


@pytest.mark.parametrize("kind", LEFT_TO_A_PERSON)
def test_other_damage_is_named_left_as_it_is_and_comes_with_advice(
    store: SessionStore, lane: SessionKey, client: redis.Redis, kind: str
) -> None:
    damage, message = LEFT_TO_A_PERSON[kind]
    damage(client)
    as_it_was = client.dump(ENTRY)
    for repair in (False, True):
        found = [one for one in examine(store, repair=repair) if one.severity == "fault"]
        assert message in [one.message for one in found]
        assert all(one.advice for one in found)
    assert client.dump(ENTRY) == as_it_was
    store.delete_session(lane)
    client.delete(f"{PREFIX}stranger")
    assert faults(store) == []


@pytest.mark.parametrize("index", ["updated_at", "active"])
def test_an_index_of_a_wrong_type_is_a_fault_and_can_be_filled_again(
    store: SessionStore, lane: SessionKey, client: redis.Redis, index: str
) -> None:
    store.take_hold(lane, "cron-1")
    client.delete(PREFIX + index)
    client.set(PREFIX + index, "oops")
    (message,) = faults(store)
    assert message == f"{PREFIX}{index} is not a sorted set"
    client.delete(PREFIX + index)
    assert faults(store, repair=True) == []
    assert client.zcard(PREFIX + index) == 1


@pytest.mark.usefixtures("lane")
def test_a_hash_of_session_ids_of_a_wrong_type_is_a_fault_and_can_be_filled_again(
    store: SessionStore, client: redis.Redis
) -> None:
    found: list[bytes] = list(client.keys(f"{PREFIX}session_ids:*"))  # type: ignore[arg-type]  # bytes: nothing is decoded
    (place,) = (key.decode() for key in found)
    client.delete(place)
    client.set(place, "oops")
    (message,) = faults(store)
    assert message == f"{place} is a string, not a hash"
    client.delete(place)
    assert faults(store, repair=True) == []
    assert client.hlen(place) == 1


def test_damage_of_one_session_does_not_hide_another(
    store: SessionStore, lane: SessionKey, client: redis.Redis
) -> None:
    other = store.get_or_create_session(SessionSource(platform="telegram", chat_id="43"))
    client.hdel(f"{PREFIX}entry:{lane}", "created_at")
    client.zrem(f"{PREFIX}updated_at", other.session_key)
    assert len(faults(store)) == 2
    assert faults(store, repair=True) == [f"{ENTRY} field created_at is not a whole number"]


def test_a_fault_that_a_scan_brings_up_twice_is_said_once(
    store: SessionStore, client: redis.Redis
) -> None:
    for chat in map(str, range(250)):
        entry = store.get_or_create_session(SessionSource(platform="telegram", chat_id=chat))
        store.take_hold(entry.session_key, "cron-1")
    client.delete(*client.keys(f"{PREFIX}session_ids:*"))
    found = faults(store)
    assert len(found) == 250
    assert len(set(found)) == 250


def test_another_layout_is_a_fault_with_both_versions_named(
    store: SessionStore, client: redis.Redis
) -> None:
    client.hset(f"{PREFIX}meta", mapping={"layout": "99", "partitions": "1"})
    (message,) = faults(store)
    assert "layout 99" in message
    assert "layout 1" in message


def test_a_server_that_refuses_info_is_a_warning_and_the_store_is_checked_all_the_same() -> None:
    with SessionStore.from_url("memory:") as store:
        store.get_or_create_session(SessionSource(platform="telegram", chat_id="42"))
        findings = list(examine(store))
    assert [(one.severity, one.check) for one in findings] == [
        ("warning", "server"),
        ("ok", "layout"),
        ("ok", "turns"),
        ("ok", "holds"),
        ("ok", "events"),
        ("ok", "invariants"),
    ]
