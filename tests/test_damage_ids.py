"""Keys damaged by hand where a lane is bound to another session id: nothing is left half done."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from redisstore import CorruptEntry, SessionId, SessionStore, StoreConfig
from tests.conftest import Sites
from tests.entries import DAY, aged, key, put, source
from tests.servers import BACKEND_NAMES
from tests.turns import begun

pytestmark = pytest.mark.damages

PREFIX = "{damaged}:"
ADA, BOB = key("ada"), key("bob")
ID, OTHER = SessionId("20260101_000000_0123456789ab"), SessionId("another")


@pytest.fixture(params=BACKEND_NAMES)
def raw(request: pytest.FixtureRequest, sites: Sites) -> Iterator[redis.Redis]:
    with sites.server(request.param).client() as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def store(raw: redis.Redis) -> Iterator[SessionStore]:
    """Two sessions, each in a turn."""
    with SessionStore(raw, config=StoreConfig(namespace="damaged", replica="tester")) as store:
        for name in ("ada", "bob"):
            begun(store, name)
        yield store


BINDINGS: dict[str, Callable[[SessionStore, SessionId], object]] = {
    "switched": lambda s, to: s.switch_session(ADA, to),
    "amended": lambda s, to: s.amend_session(ADA, {"session_id": to, "display_name": "Ada"}),
    "imported": lambda s, to: put(
        s, [aged("ada", -DAY).model_copy(update={"session_id": to, "version": 5})]
    ),
}
binding = pytest.mark.parametrize("bind", BINDINGS.values(), ids=BINDINGS)


def replaced(raw: redis.Redis, name: str) -> None:
    raw.delete(name)
    raw.set(name, "a string where something else should be")


def everything(raw: redis.Redis) -> object:
    return {name: raw.dump(name) for name in raw.keys(PREFIX + "*")}


def bob_is_on(store: SessionStore) -> SessionId:
    entry = store.get_session(BOB)
    assert entry is not None
    return entry.session_id


@binding
@pytest.mark.parametrize("index", ["session_ids:", "turns", "locks"])
def test_an_index_of_a_wrong_type_stops_it_before_the_first_write(
    store: SessionStore,
    raw: redis.Redis,
    bind: Callable[[SessionStore, SessionId], object],
    index: str,
) -> None:
    on = bob_is_on(store)
    replaced(raw, PREFIX + index + (on[-3:] if index == "session_ids:" else ""))
    before = everything(raw)
    with pytest.raises(CorruptEntry, match=index):
        bind(store, on)
    assert everything(raw) == before


def test_events_of_a_wrong_type_stop_it_too(store: SessionStore, raw: redis.Redis) -> None:
    replaced(raw, PREFIX + "events")
    before = everything(raw)
    for bind in (BINDINGS["switched"], BINDINGS["amended"]):
        with pytest.raises(CorruptEntry, match="events"):
            bind(store, OTHER)
    assert everything(raw) == before


def test_what_needs_no_index_is_put_right_all_the_same(
    store: SessionStore, raw: redis.Redis
) -> None:
    replaced(raw, PREFIX + "expiry")
    for finalized in (True, False):
        before = everything(raw)
        if finalized:
            with pytest.raises(CorruptEntry, match="expiry"):
                store.amend_session(ADA, {"expiry_finalized": True, "total_tokens": 1})
            assert everything(raw) == before
        else:
            amended = store.amend_session(ADA, {"expiry_finalized": False, "total_tokens": 1})
            assert amended is not None
            assert amended.total_tokens == 1


@binding
@pytest.mark.parametrize("whose", [ADA, BOB], ids=["its own turn", "that of another"])
def test_a_damaged_turn_does_not_stop_it(
    store: SessionStore,
    raw: redis.Redis,
    bind: Callable[[SessionStore, SessionId], object],
    whose: str,
) -> None:
    replaced(raw, f"{PREFIX}turn:{whose}")
    to = OTHER if whose == ADA else bob_is_on(store)
    bind(store, to)
    entry = store.get_session(ADA)
    assert entry is not None
    assert entry.session_id == to
    assert {fault.problem for fault in store.audit()} == {"has a turn or a queue of a wrong type"}


@binding
def test_a_damaged_lock_is_nobodys(
    store: SessionStore, raw: redis.Redis, bind: Callable[[SessionStore, SessionId], object]
) -> None:
    on = bob_is_on(store)
    raw.zrem(PREFIX + "turns", ADA)
    raw.delete(f"{PREFIX}turn:{ADA}")
    replaced(raw, f"{PREFIX}lock:{on}")
    bind(store, on)
    assert store.lookup_by_session_id(on) is not None
    with pytest.raises(CorruptEntry):
        begun(store, "ada")


def test_a_damaged_lock_stops_a_turn_that_would_go_on(
    store: SessionStore, raw: redis.Redis
) -> None:
    on = bob_is_on(store)
    replaced(raw, f"{PREFIX}lock:{on}")
    before = store.get_session(ADA)
    with pytest.raises(CorruptEntry):
        store.amend_session(ADA, {"session_id": on})
    assert store.get_session(ADA) == before


def test_a_counter_that_was_damaged_is_put_right(store: SessionStore, raw: redis.Redis) -> None:
    raw.hset(f"{PREFIX}entry:{ADA}", "total_tokens", "many")
    with pytest.raises(CorruptEntry):
        store.update_session(ADA, total_tokens=1)
    amended = store.amend_session(ADA, {"total_tokens": 7})
    assert amended is not None
    assert amended.total_tokens == 7
    assert list(store.audit()) == []
    assert store.get_or_create_session(source("ada")).total_tokens == 7
