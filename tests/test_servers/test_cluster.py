"""A Cluster: its slots, its redirections, and the replica that takes over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.crc import key_slot
from redis.exceptions import MovedError

from tests.servers import BACKEND_NAMES, HOST, Cluster, available, wait_until


@pytest.fixture(scope="module", params=BACKEND_NAMES)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with Cluster(request.param, replicas=1, node_timeout_ms=1000) as running:
        yield running


def test_cluster_url_names_every_node(cluster: Cluster) -> None:
    hosts = [f"{HOST}:{node.port}" for node in cluster.nodes]
    assert len(hosts) == 6
    assert cluster.url() == "redis+cluster://" + ",".join(hosts)


def test_every_master_of_a_cluster_takes_keys(cluster: Cluster) -> None:
    client = cluster.client()
    owners = {}
    for number in range(30):
        key = f"key:{number}"
        client.set(key, number)
        owner = owners[key] = cluster.master_of(key)
        assert owner.client().get(key) == str(number).encode()
    assert len(set(owners.values())) == 3


def test_another_master_redirects_to_the_one_of_the_key(cluster: Cluster) -> None:
    owner = cluster.master_of("key")
    stranger = next(node for node in cluster.nodes if node is not owner)
    with pytest.raises(MovedError) as moved:
        stranger.client().get("key")
    assert (moved.value.slot_id, moved.value.port) == (key_slot(b"key"), owner.port)


def test_replica_replaces_the_master_of_its_slots(cluster: Cluster) -> None:
    lost = cluster.master_of("key")
    lost.client().set("key", "kept")
    assert lost.client().wait(1, 2000) == 1
    lost.kill()
    successor = wait_until(
        lambda: next(
            (one for one in cluster.nodes if one is not lost and cluster.master_of("key") is one),
            None,
        ),
        timeout=20,
        message="the replica to be promoted",
    )
    cluster.wait_until_ok()
    assert successor is not None
    assert successor.client().get("key") == b"kept"
    assert cluster.client().get("key") == b"kept"
    lost.start()
    wait_until(lambda: lost.info("replication")["role"] == "slave", message="a return as replica")


def test_cluster_without_replicas_is_three_masters() -> None:
    with Cluster(available()[0]) as cluster:
        assert cluster.nodes == cluster.masters
        assert len({cluster.master_of(key) for key in "abcdefgh"}) == 3
