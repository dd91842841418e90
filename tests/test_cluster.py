"""What only a Cluster shows: foreign slots, moving slots, a master that dies, an even spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
import redis

from redisstore import SessionStore, StoreConfig, StoreUnavailable
from redisstore.keys import KeySpace
from redisstore.scripts import library
from tests.entries import DAY, NOW, aged, put, source
from tests.servers import BACKEND_NAMES, Cluster, require, wait_until


@pytest.fixture(params=BACKEND_NAMES, scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    require(request.param)
    with Cluster(request.param) as cluster:
        yield cluster


def identity(client: redis.Redis) -> str:
    raw: bytes = client.execute_command("CLUSTER MYID")  # type: ignore[no-untyped-call]
    return raw.decode()


def has_replicated(client: redis.Redis) -> bool:
    return bool(client.execute_command("WAIT", 1, 100) == 1)  # type: ignore[no-untyped-call]


def test_a_new_store_on_a_cluster_has_64_partitions(cluster: Cluster, namespace: str) -> None:
    with SessionStore.from_url(cluster.url(), namespace=namespace) as store:
        store.get_or_create_session(source("ada"))
        context = store.layout()
        assert context is not None
        assert context.space.partition_count == 64


def test_sessions_spread_evenly(cluster: Cluster, namespace: str) -> None:
    with SessionStore.from_url(cluster.url(), namespace=namespace) as store:
        put(store, [aged(str(n), n * DAY / 24) for n in range(6000)])
        pattern = f"{{{namespace}.*}}:entry:*"
        held = Counter[int]()
        for node in cluster.nodes:
            with node.client() as client:
                held[node.port] = sum(1 for _ in client.scan_iter(pattern, count=1000))
        assert sum(held.values()) == 6000
        assert max(held.values()) < 6000 / 3 * 1.05
        assert store.prune_old_entries(before=NOW + DAY).removed == 6000
        assert list(store.audit()) == []


@pytest.mark.parametrize("name", sorted(library()))
def test_a_script_refuses_a_key_of_another_slot(cluster: Cluster, name: str) -> None:
    """In strict mode, which the first line of a script asks for."""
    shebang, _, body = library()[name].text.partition("\n")
    home = KeySpace("redisstore").partitions[0]
    node = cluster.master_of(home.prefix)
    neighbour = next(
        key for key in map("{{{}}}".format, range(10_000)) if cluster.master_of(key) is node
    )
    foreign = f"redis.call('TYPE', '{neighbour}')\n"
    with node.client() as client, pytest.raises(redis.ResponseError, match="slot"):
        client.eval(f"{shebang}\n{foreign}{body}", 2, home.prefix, home.updated_at)


def test_a_moving_slot_never_makes_a_second_session(cluster: Cluster, namespace: str) -> None:
    """While a slot moves, an entry may be on either side: calls wait, none guesses."""
    config = StoreConfig(
        url=cluster.url(), namespace=namespace, partitions=1, deadline=1.5, socket_timeout=0.5
    )
    home = KeySpace(namespace).partitions[0]
    origin = cluster.master_of(home.prefix)
    target = next(node for node in cluster.nodes if node is not origin)
    with SessionStore.from_url(config=config) as store, origin.client() as a, target.client() as b:
        ada = store.get_or_create_session(source("ada"))
        origin_id, target_id = (identity(client) for client in (a, b))
        b.execute_command("CLUSTER SETSLOT", home.slot, "IMPORTING", origin_id)
        a.execute_command("CLUSTER SETSLOT", home.slot, "MIGRATING", target_id)
        try:
            a.execute_command(
                "MIGRATE", target.address[0], target.port, home.entry(ada.session_key), 0, 1000
            )
            with pytest.raises(StoreUnavailable):
                store.get_or_create_session(source("ada"))
            with pytest.raises(StoreUnavailable):
                store.get_or_create_session(source("new"))
        finally:
            while keys := a.execute_command("CLUSTER GETKEYSINSLOT", home.slot, 100):
                a.execute_command(
                    "MIGRATE", target.address[0], target.port, "", 0, 1000, "KEYS", *keys
                )
            for client in (b, a):
                client.execute_command("CLUSTER SETSLOT", home.slot, "NODE", target_id)
        assert store.get_or_create_session(source("ada")).session_id == ada.session_id
        assert store.count_sessions() == 1
        assert list(store.audit()) == []


def test_a_master_that_dies_is_replaced_by_its_replica(namespace: str) -> None:
    require("valkey-9.1")
    with Cluster("valkey-9.1", replicas=1) as cluster:
        config = StoreConfig(url=cluster.url(), namespace=namespace, deadline=30)
        with SessionStore.from_url(config=config) as store:
            put(store, [aged(str(n), DAY) for n in range(200)])
            for node in cluster.masters:
                with node.client() as client:
                    replicated = partial(has_replicated, client)
                    wait_until(replicated, timeout=10, message="the replica has all")
            cluster.masters[0].kill()
            sessions = {store.get_or_create_session(source(str(n))).session_id for n in range(200)}
            assert sessions == {f"20260101_000000_{n}" for n in range(200)}
            assert store.count_sessions() == 200
            assert list(store.audit()) == []


def test_one_namespace_of_a_cluster_can_be_read_from_any_seed(
    cluster: Cluster, namespace: str
) -> None:
    with SessionStore.from_url(cluster.url(), namespace=namespace) as store:
        store.get_or_create_session(source("ada"))
    for node in cluster.nodes:
        seed = f"redis+cluster://{node.address[0]}:{node.port}"
        with SessionStore.from_url(seed, namespace=namespace) as other:
            assert other.count_sessions() == 1
