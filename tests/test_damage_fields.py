"""What is put by hand beside the fields of a hash: in nobody's way, whatever its name is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from redisstore.calls import replicas
from tests.closing import ADA, HOUR, Closer
from tests.conftest import OpenStore, Site
from tests.entries import key, source
from tests.turns import ClockedStores, begun, direct_client

pytestmark = pytest.mark.damages

NAMES = {
    "no UTF-8": b"\xff",
    "a piece of no UTF-8": b"\xff 2",
    "a piece with a huge number": b"user_name " + b"9" * 5000,
    "a piece with a strange number": "user_name \u00b2".encode(),
}


@pytest.fixture
def stores(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


def named(stores: ClockedStores, kind: str) -> str:
    return f"{stores.space.partition_of(ADA).prefix}{kind}:{ADA}"


@pytest.mark.parametrize("name", NAMES)
def test_a_strange_field_of_an_entry_harms_nothing(stores: ClockedStores, name: str) -> None:
    closer = Closer(stores)
    for lane in ("ada", "bob", "eve"):
        closer.store.get_or_create_session(source(lane))
    before = closer.store.get_session(ADA)
    stores.client.hset(named(stores, "entry"), NAMES[name], "by hand")
    assert closer.store.get_session(ADA) == before
    assert closer.store.lookup_by_session_id(before.session_id) == before
    assert {entry.session_key for entry in closer.store.list_sessions()} >= {ADA}
    assert list(closer.store.audit()) == []
    stores.clock.advance(2 * HOUR)
    claims = closer.claim_all()
    assert len(claims) == 3
    assert [closer.finish(claim) for claim in claims.values()] == ["finalized"] * 3


def test_an_entry_with_a_strange_field_is_shared_by_a_repair(stores: ClockedStores) -> None:
    store = stores.open()
    with store.turn(source("ada")) as turn:
        shared = turn.entry.session_id
    home = stores.space.partition_of
    neighbour = next(name for name in map(str, range(1000)) if home(key(name)) == home(ADA))
    store.get_or_create_session(source(neighbour))
    store.switch_session(key(neighbour), shared)
    stores.client.hset(named(stores, "entry"), b"\xff", "by hand")
    stores.client.hdel(named(stores, "entry"), "id_home")
    assert [fault.where for fault in store.audit(repair=True)] == [named(stores, "entry")]
    assert list(store.audit()) == []


def test_turns_are_listed_beside_one_with_strange_fields(stores: ClockedStores) -> None:
    store = stores.open()
    begun(store)
    begun(store, "bob")
    for name, value in {b"\xff": "", "fence": "\u00b2", "began_at": "9" * 5000}.items():
        stores.client.hset(named(stores, "turn"), name, value)
    listed = {turn.session_key: turn for turn in store.list_turns()}
    assert len(listed) == 2
    assert (listed[ADA].fence, listed[ADA].began_at) == (None, None)


def test_replicas_are_listed_beside_one_with_strange_fields(stores: ClockedStores) -> None:
    store: Any = stores.open(replica="one")
    presence = replicas.Presence()
    store._complete(lambda c: presence.beat(c, (2, 3), "up"))
    key = f"{stores.space.root}replica:one"
    strange = {b"\xff": "", "pid": "9" * 5000, "started_at": "9" * 16, "turns": "\u00b2"}
    for name, value in strange.items():
        stores.client.hset(key, name, value)
    (listed,) = store.list_replicas()
    assert (listed.pid, listed.started_at, listed.turns, listed.waiting) == (None, None, 0, 3)
    assert store.suspend_recently_active() == 0
