"""What only a Cluster shows: foreign slots, moving slots, a master that dies, an even spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pytest
import redis
from redis.exceptions import TryAgainError

from redisstore import SessionStore, StoreConfig, StoreUnavailable, TurnBusy
from redisstore.keys import KeySpace, Partition
from redisstore.scripts import library
from tests.entries import DAY, NOW, aged, key, put, source
from tests.script_calls import CALLS
from tests.servers import BACKEND_NAMES, Cluster, Server, require, wait_until


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


@dataclass(frozen=True)
class Move:
    """A partition on its way from one master to another."""

    origin: redis.Redis
    target: Server

    def send(self, *keys: str | bytes) -> None:
        """Let these keys arrive."""
        where = *self.target.address, "", 0, 1000, "KEYS"
        self.origin.execute_command("MIGRATE", *where, *keys)  # type: ignore[no-untyped-call]


@contextmanager
def moving(cluster: Cluster, home: Partition) -> Iterator[Move]:
    """Begin to move a partition; at the end of the block it has arrived."""
    leaving = cluster.master_of(home.prefix)
    target = next(node for node in cluster.nodes if node is not leaving)
    with leaving.client() as a, target.client() as b:
        origin_id, target_id = (identity(client) for client in (a, b))
        b.execute_command("CLUSTER SETSLOT", home.slot, "IMPORTING", origin_id)
        a.execute_command("CLUSTER SETSLOT", home.slot, "MIGRATING", target_id)
        move = Move(a, target)
        try:
            yield move
        finally:
            while keys := a.execute_command("CLUSTER GETKEYSINSLOT", home.slot, 100):
                move.send(*keys)
            for client in (b, a):
                client.execute_command("CLUSTER SETSLOT", home.slot, "NODE", target_id)


def impatient(cluster: Cluster, namespace: str, partitions: int) -> StoreConfig:
    return StoreConfig(
        url=cluster.url(),
        namespace=namespace,
        partitions=partitions,
        deadline=1.5,
        socket_timeout=0.5,
    )


def test_a_moving_slot_never_makes_a_second_session(cluster: Cluster, namespace: str) -> None:
    """While a slot moves, an entry may be on either side: calls wait, none guesses."""
    home = KeySpace(namespace).partitions[0]
    with SessionStore.from_url(config=impatient(cluster, namespace, 1)) as store:
        ada = store.get_or_create_session(source("ada"))
        with moving(cluster, home) as move:
            move.send(home.entry(ada.session_key))
            with pytest.raises(StoreUnavailable):
                store.get_or_create_session(source("ada"))
            with pytest.raises(StoreUnavailable):
                store.get_or_create_session(source("new"))
        assert store.get_or_create_session(source("ada")).session_id == ada.session_id
        assert store.count_sessions() == 1
        assert list(store.audit()) == []


def test_a_moving_slot_never_has_two_turns_on_one_session_id(
    cluster: Cluster, namespace: str
) -> None:
    """Who is bound to an id is not told by the half that has arrived, nor by none."""
    space = KeySpace(namespace, 2)
    home = space.partitions[0]
    names = [str(n) for n in range(50)]
    here = next(name for name in names if space.partition_of(key(name)) is home)
    there, new = [name for name in names if space.partition_of(key(name)) is not home][:2]
    with SessionStore.from_url(config=impatient(cluster, namespace, 2)) as store:
        bound = store.get_or_create_session(source(here))
        store.get_or_create_session(source(there))
        row = aged(new, DAY, session_id=bound.session_id)
        with moving(cluster, home):
            with pytest.raises(StoreUnavailable):
                store.lookup_by_session_id(bound.session_id)
            with pytest.raises(StoreUnavailable):
                store.switch_session(key(there), bound.session_id)
            with pytest.raises(StoreUnavailable):
                list(store.import_sessions([row]))
        assert store.lookup_by_session_id(bound.session_id) == bound
        assert store.switch_session(key(there), bound.session_id)
        put(store, [row])
        with store.turn(source(here)):
            for other in (there, new):
                with pytest.raises(TurnBusy), store.turn(source(other), wait=0):
                    pass
        assert list(store.audit()) == []


def test_no_script_answers_by_the_half_that_has_arrived(cluster: Cluster) -> None:
    """Only those that read a single key are served where it goes: it is there, or there is none."""
    home = KeySpace("redisstore").partitions[0]
    served = set()
    with moving(cluster, home) as move, move.target.client(single_connection_client=True) as target:
        for name, make in CALLS.items():
            call = make()
            keys = tuple(home.prefix + key.partition("}:")[2] for key in call.keys)
            target.execute_command("ASKING")
            try:
                target.execute_command(*call._replace(keys=keys).by_text(library()))
            except TryAgainError:
                continue
            served.add(name)
    assert served == {"list_holds", "open_store"}


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
