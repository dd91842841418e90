"""A Cluster: followed where its slots go, and refused where there is none."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from redis import exceptions as rx

from redisstore.connect import connect, connect_async
from redisstore.errors import StoreRefused, StoreUnavailable
from tests.connect.connections import config, of
from tests.connect.crowd import check_that_tasks_wait, check_that_threads_wait
from tests.connect.login import QUOTED
from tests.servers import HOST, Cluster, Server

HANG_GUARD = 3
"""How many deadlines a call may take before it counts as hung; machines are busy at times."""


async def test_a_cluster_is_followed(cluster: Cluster) -> None:
    made = connect(config(cluster.url()))
    made_async = connect_async(config(cluster.url()))
    for one in (made, made_async):
        assert one.clustered
        assert not one.imitated
        assert one.label == cluster.url()
    client: Any = made.client
    async_client: Any = made_async.client
    for number in range(30):
        client.set(f"key{number}", number)
        assert await async_client.get(f"key{number}") == str(number).encode()
    assert {one["name"] for one in client.client_list()} >= {"redisstore-gateway-1"}
    client.close()
    await async_client.aclose()


async def test_a_client_that_is_to_read_the_topology_anew_is_closed_all_the_same(
    cluster: Cluster,
) -> None:
    client: Any = connect_async(config(cluster.url())).client
    for number in range(30):
        await client.get(f"key{number}")
    connections = [one for node in client.get_nodes() for one in node._connections]
    assert all(one.is_connected for one in connections)
    assert len(connections) >= 3
    client._initialize = True  # as a line does that has failed
    await client.aclose()
    assert not any(one.is_connected for one in connections)


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


async def test_no_master_is_asked_which_commands_there_are(cluster: Cluster) -> None:
    """The first might be away: then neither a client could be made, nor the topology read anew."""
    for node in cluster.masters:
        node.ask("CONFIG RESETSTAT")
    made = connect(config(cluster.url()))
    client: Any = made.client
    client.execute_command("EVAL", "return KEYS[1]", 1, "key")
    client.close()
    async_client: Any = connect_async(config(cluster.url())).client
    await async_client.execute_command("EVAL", "return KEYS[1]", 1, "key")
    await async_client.execute_command("RPUSH", "list", "woken")
    assert await async_client.execute_command("BLPOP", "list", "1.0")
    await async_client.aclose()
    asked = {name for node in cluster.masters for name in node.info("commandstats")}
    assert {"cmdstat_eval", "cmdstat_blpop"} <= asked
    assert not [name for name in asked if name.startswith("cmdstat_command")]


@pytest.fixture
def deaf() -> Iterator[str]:
    """The URL of a Cluster whose five nodes accept connections, and never answer."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(5)]
        yield "redis+cluster://" + ",".join(f"{HOST}:{one.getsockname()[1]}" for one in nodes)


def test_threads_wait_for_a_cluster_that_does_not_answer_until_the_deadline(deaf: str) -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"did not answer in .* \(deadline 0\.5 s\)"):
        connect(config(deaf, deadline=0.5, socket_timeout=0.5))
    assert time.monotonic() - began < HANG_GUARD * 0.5


async def test_tasks_wait_for_a_cluster_that_does_not_answer_until_the_deadline(deaf: str) -> None:
    async with of(deaf, deadline=0.5, socket_timeout=0.5) as store:
        for ask in (store.has_any_sessions, store.count_sessions):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match=r"did not answer in .* \(deadline 0\.5 s\)"):
                await ask()
            assert time.monotonic() - began < HANG_GUARD * 0.5


def test_one_node_that_answers_is_enough(cluster: Cluster, deaf: str) -> None:
    node = cluster.nodes[0].port
    made = connect(config(f"{deaf},{HOST}:{node}", deadline=3.0, socket_timeout=0.5))
    client: Any = made.client
    assert client.set("key", 1)
    client.close()
