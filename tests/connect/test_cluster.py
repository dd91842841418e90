"""A Cluster: followed where its slots go, and refused where there is none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import exceptions as rx

from redisstore.connect import connect, connect_async
from redisstore.errors import StoreRefused, StoreUnavailable
from tests.connect.connections import config
from tests.connect.crowd import check_that_tasks_wait, check_that_threads_wait
from tests.connect.login import QUOTED
from tests.servers import Cluster, Server


async def test_a_cluster_is_followed(cluster: Cluster) -> None:
    made = connect(config(cluster.url()))
    made_async = connect_async(config(cluster.url()))
    for one in (made, made_async):
        assert one.clustered
        assert one.knows_shebang
        assert one.label == cluster.url()
    client: Any = made.client
    async_client: Any = made_async.client
    for number in range(30):
        client.set(f"key{number}", number)
        assert await async_client.get(f"key{number}") == str(number).encode()
    assert {one["name"] for one in client.client_list()} >= {"redisstore-gateway-1"}
    client.close()
    await async_client.aclose()


async def test_a_moved_slot_is_followed_though_nothing_is_retried(cluster: Cluster) -> None:
    client: Any = connect(config(cluster.url())).client
    async_client: Any = connect_async(config(cluster.url())).client
    client.set("moving", 1)
    await async_client.get("moving")
    assert client.retry.get_retries() == 0
    assert async_client.retry.get_retries() == 0
    slot = client.keyslot("moving")
    source = cluster.master_of("moving")
    target = next(node for node in cluster.masters if node is not source)
    try:
        move_slot(cluster, slot, source, target)
        assert client.get("moving") == b"1"
        assert await async_client.get("moving") == b"1"
    finally:
        move_slot(cluster, slot, target, source)
    client.close()
    await async_client.aclose()


def move_slot(cluster: Cluster, slot: int, source: Server, target: Server) -> None:
    source_id, target_id = source.ask("CLUSTER MYID"), target.ask("CLUSTER MYID")
    target.ask("CLUSTER SETSLOT", slot, "IMPORTING", source_id)
    source.ask("CLUSTER SETSLOT", slot, "MIGRATING", target_id)
    for key in source.ask("CLUSTER GETKEYSINSLOT", slot, 100):
        source.ask("MIGRATE", *target.address, key, 0, 5000)
    for node in (target, source, *cluster.masters):
        node.ask("CLUSTER SETSLOT", slot, "NODE", target_id)


async def test_callers_of_a_cluster_wait_for_a_connection(cluster: Cluster) -> None:
    settings = config(cluster.url(), max_connections=2)
    client: Any = connect(settings).client
    check_that_threads_wait(client)
    client.close()
    async_client: Any = connect_async(settings).client
    await check_that_tasks_wait(async_client)
    await async_client.aclose()


async def test_waiting_for_a_cluster_ends_at_the_deadline(cluster: Cluster) -> None:
    settings = config(cluster.url(), max_connections=1, deadline=0.2)
    client: Any = connect(settings).client
    assert client._calls.acquire(timeout=1)
    with pytest.raises(rx.MaxConnectionsError):
        client.get("key")
    client._calls.release()
    client.close()
    async_client: Any = connect_async(settings).client
    await async_client._calls.acquire()
    with pytest.raises(rx.MaxConnectionsError):
        await async_client.get("key")
    async_client._calls.release()
    await async_client.aclose()


def test_a_cluster_that_is_away_or_none_is_told(server: Server) -> None:
    with pytest.raises(StoreUnavailable, match=r"redis\+cluster://127\.0\.0\.1:1"):
        connect(config("redis+cluster://127.0.0.1:1", deadline=0.1))
    with pytest.raises(StoreRefused, match="invalid username-password"):
        connect(config(f"redis+cluster://:wrong@127.0.0.1:{server.port}"))
    with pytest.raises(StoreRefused, match=r"cluster support disabled|not enabled"):
        connect(config(f"redis+cluster://:{QUOTED}@127.0.0.1:{server.port}"))


def test_a_cluster_that_is_away_for_a_moment_is_waited_for(server: Server) -> None:
    with Cluster(server.backend) as cluster, ThreadPoolExecutor(1) as aside:
        node = cluster.masters[0]
        node.kill()
        connecting = aside.submit(connect, config(f"redis+cluster://127.0.0.1:{node.port}"))
        with pytest.raises(TimeoutError):
            connecting.result(0.1)
        node.start()
        connecting.result().client.close()
