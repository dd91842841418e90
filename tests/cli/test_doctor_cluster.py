"""On a Cluster, the doctor asks every node, and says which one it means."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from redisstore import SessionStore, StoreConfig, StoreUnavailable
from redisstore.server_info import ServerInfo
from tests.cli.material import Run, document, source
from tests.faces import open_face
from tests.servers import Cluster, Server, wait_until


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster("valkey-9.1", replicas=1, node_timeout_ms=60_000, appendonly=True) as cluster:
        # Nodes learn of one another's replicas some time after the Cluster is whole.
        wait_until(lambda: all(map(knows_all, cluster.nodes)), message="all to know all replicas")
        yield cluster


def knows_all(node: Server) -> bool:
    ranges = node.ask("CLUSTER", "SLOTS")
    return len(ranges) == 3 and all(len(one) == 4 for one in ranges)


@pytest.fixture(params=["sync", "async"])
def opened(
    request: pytest.FixtureRequest, cluster: Cluster, loop: asyncio.AbstractEventLoop
) -> Iterator[SessionStore]:
    config = StoreConfig(url=cluster.url(), deadline=1, socket_timeout=0.4)
    store = open_face(request.param, config, loop)
    yield store
    store.close()


def address(node: Server) -> str:
    return "{}:{}".format(*node.address)


def set_all(node: Server, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        node.ask("CONFIG", "SET", name, value)


def test_every_master_and_replica_is_asked(cluster: Cluster, opened: SessionStore) -> None:
    asked = list(opened.list_servers())
    assert [node.role for node, _ in asked] == ["master"] * 3 + ["replica"] * 3
    assert {node.name for node, _ in asked} == {address(node) for node in cluster.nodes}
    assert all(isinstance(told, ServerInfo) and told.append_only for _, told in asked)


@pytest.mark.parametrize("place", range(6))
def test_eviction_on_any_node_is_a_fault_that_names_it(
    cluster: Cluster, run: Run, place: int
) -> None:
    node = cluster.nodes[place]
    assert run("doctor", "--quick", url=cluster.url()).exit_code == 0
    set_all(node, {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"})
    try:
        result = run("doctor", "--json", url=cluster.url())
    finally:
        set_all(node, {"maxmemory": "0", "maxmemory-policy": "noeviction"})
    assert result.exit_code == 1
    found = document(result)
    (fault,) = (one for one in found["findings"] if one["severity"] == "fault")
    role = "master" if place < 3 else "replica"
    assert fault["message"].startswith(f"{address(node)} ({role}): maxmemory-policy is allkeys-lru")


def test_stats_have_the_memory_of_every_node(cluster: Cluster, run: Run) -> None:
    servers = document(run("stats", "--json", url=cluster.url()))["servers"]
    assert {one["name"] for one in servers} == {address(node) for node in cluster.nodes}
    assert all(one["used_memory"] > 0 for one in servers)
    assert run("stats", url=cluster.url()).stdout.count("memory used") == 6


def test_a_node_that_is_taken_for_a_single_server_is_told_from_one(
    cluster: Cluster, run: Run
) -> None:
    """A namespace of its own, whose one partition is on one of the three masters."""
    seen = set()
    for node in cluster.masters:
        lone = ("--url", node.url(), "--namespace", "lone")
        asked = run("list", *lone)
        seen.add(asked.exit_code)
        if asked.exit_code == 0:
            with SessionStore.from_url(node.url(), namespace="lone") as store:
                store.get_or_create_session(source("42"))
            found = document(run("doctor", "--quick", "--json", *lone))
            (warning,) = (one for one in found["findings"] if one["severity"] == "warning")
            assert "a node of a Cluster" in warning["message"]
        else:
            assert "redis+cluster://" in asked.stderr
    assert seen == {0, 1}
    there = document(run("doctor", "--json", "--url", cluster.url(), "--namespace", "lone"))
    assert (there["faults"], there["warnings"]) == (0, 0)


def test_nodes_that_are_away_are_named_and_the_others_are_looked_at(
    cluster: Cluster, opened: SessionStore
) -> None:
    """A node is stopped, not killed: nothing fails over, and it comes back as it was."""
    opened.get_or_create_session(source("42"))
    list(opened.list_servers())
    replica, master = cluster.replicas[0], cluster.masters[1]
    with replica.paused():
        away = [one for one in opened.list_servers() if isinstance(one[1], StoreUnavailable)]
    assert [(node.name, node.role) for node, _ in away] == [(address(replica), "replica")]
    with master.paused():
        away = [one for one in opened.list_servers() if isinstance(one[1], StoreUnavailable)]
    assert [(node.name, node.role) for node, _ in away] == [(address(master), "master")]
    cluster.wait_until_ok()


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_master_that_is_away_before_a_store_is_opened_is_named_and_the_others_serve(
    cluster: Cluster, loop: asyncio.AbstractEventLoop, face: str, place: int
) -> None:
    """Whichever it is: redis-py asks the first of them more than the others."""
    master = cluster.masters[place]
    config = StoreConfig(
        url=cluster.url(),
        namespace=_elsewhere(cluster, master),
        partitions=1,
        deadline=3,
        socket_timeout=0.4,
    )
    with master.paused():
        store = open_face(face, config, loop)
        asked = list(store.list_servers())
        made = store.get_or_create_session(source("42"))
        assert store.get_session(made.session_key) == made
        store.close()
    cluster.wait_until_ok()
    away = [node for node, told in asked if isinstance(told, StoreUnavailable)]
    assert [(node.name, node.role) for node in away] == [(address(master), "master")]
    assert len(asked) == 6


def _elsewhere(cluster: Cluster, master: Server) -> str:
    """A namespace whose one partition, and whose layout, are not on this master."""
    return next(
        name
        for name in map("ns{}".format, range(99))
        if cluster.master_of(f"{{{name}}}:meta") is not master
    )


@pytest.mark.parametrize("place", range(3))
def test_the_doctor_names_a_master_that_is_away(cluster: Cluster, run: Run, place: int) -> None:
    master = cluster.masters[place]
    with master.paused():
        result = run("doctor", "--quick", "--json", url=cluster.url())
    cluster.wait_until_ok()
    away = [one["message"] for one in document(result)["findings"] if one["severity"] == "fault"]
    assert len(away) == 1
    assert away[0].startswith(f"{address(master)} (master): ")
