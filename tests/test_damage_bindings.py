"""The hashes that lead from session ids back to sessions, damaged by hand: in nobody's way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from redisstore import CorruptEntry, SessionId, SessionStore, StoreConfig
from tests.conftest import Sites
from tests.entries import DAY, NOW, aged, key, put, source
from tests.servers import BACKEND_NAMES

pytestmark = pytest.mark.damages


@pytest.fixture(params=BACKEND_NAMES)
def raw(request: pytest.FixtureRequest, sites: Sites) -> Iterator[redis.Redis]:
    with sites.server(request.param).client() as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def store(raw: redis.Redis) -> SessionStore:
    store = SessionStore(raw, config=StoreConfig(namespace="damaged"))
    put(store, [aged("first", 102 * DAY), aged("bad", 101 * DAY), aged("last", 100 * DAY)])
    return store


def test_a_hash_of_session_ids_of_a_wrong_type_stops_writes_before_the_first(
    store: SessionStore, raw: redis.Redis
) -> None:
    entry = store.get_session(key("bad"))
    assert entry is not None
    place = f"{{damaged}}:session_ids:{entry.session_id[-3:]}"
    raw.delete(place)
    raw.set(place, "not an index")
    before = {name: raw.dump(name) for name in raw.keys("{damaged}:*")}
    writes: list[Callable[[], object]] = [
        lambda: store.get_or_create_session(source("bad"), force_new=True),
        lambda: store.reset_session(key("bad")),
        lambda: store.switch_session(key("bad"), SessionId("elsewhere")),
        lambda: store.switch_session(key("first"), SessionId("to" + entry.session_id[-3:])),
        lambda: store.amend_session(key("bad"), {"session_id": SessionId("elsewhere")}),
        lambda: store.delete_session(key("bad")),
        lambda: store.lookup_by_session_id(entry.session_id),
        lambda: put(store, [entry.model_copy(update={"session_key": key("new")})]),
    ]
    for write in writes:
        with pytest.raises(CorruptEntry, match="session_ids"):
            write()
    assert {name: raw.dump(name) for name in raw.keys("{damaged}:*")} == before
    assert [(fault.where, fault.problem) for fault in store.audit(repair=True)] == [
        (place, "is a string, not a hash")
    ]


def test_a_hash_of_session_ids_of_a_wrong_type_keeps_nothing_from_being_pruned(
    store: SessionStore, raw: redis.Redis
) -> None:
    """It binds nothing, so that nothing is left of what was bound."""
    entry = store.get_session(key("bad"))
    assert entry is not None
    place = f"{{damaged}}:session_ids:{entry.session_id[-3:]}"
    raw.delete(place)
    raw.set(place, "not an index")
    assert store.prune_old_entries(before=NOW + DAY).removed == 3
    assert [fault.where for fault in store.audit()] == [place]
    raw.delete(place)
    assert list(store.audit()) == []
