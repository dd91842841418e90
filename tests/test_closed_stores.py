"""Closing is final: what waits ends at once, what comes later is refused, nothing stays open."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import redis.asyncio

from redisstore import AsyncSessionStore, SessionStore, StoreClosed, StoreConfig
from redisstore.connect import Waits
from tests.conftest import OpenStore, Site, Sites
from tests.entries import key, source
from tests.servers import BACKEND_NAMES, HOST, FaultyProxy, wait_until
from tests.turns import begun

ADA = key("ada")
_numbers = itertools.count()


@pytest.fixture
def replica() -> str:
    """A name that tells the connections of one test."""
    return f"closing-{next(_numbers)}"


@pytest.fixture
def config(site: Site, namespace: str, replica: str) -> StoreConfig:
    return StoreConfig(
        url=site.url, namespace=namespace, partitions=site.partitions, replica=replica
    )


@pytest.fixture
def other(config: StoreConfig) -> Iterator[SessionStore]:
    """Another replica's store."""
    with SessionStore.from_url(config=config.model_copy(update={"replica": "other"})) as store:
        yield store
        assert list(store.audit()) == []


def open_connections(store: SessionStore, replica: str) -> int:
    """How many connections a replica has to the server, or to all nodes of the Cluster."""
    client: Any = store._runner.connection.client
    if store._runner.connection.imitated:
        return 0
    nodes = client.get_primaries() if store._runner.connection.clustered else [None]
    clients = [client if node is None else client.get_redis_connection(node) for node in nodes]
    listed = itertools.chain.from_iterable(one.client_list() for one in clients)
    return sum(one["name"] == f"redisstore-{replica}" for one in listed)


CALLS: tuple[Callable[[Any], Any], ...] = (
    lambda store: store.count_sessions(),
    lambda store: store.get_or_create_session(source("ada")),
    lambda store: list(store.list_sessions()),
    lambda store: list(store.events(since="oldest", idle_timeout=0)),
    lambda store: list(store.audit()),
    lambda store: list(store.list_servers()),
    lambda store: store.take_hold(ADA, "cron"),
    lambda store: store.turn(source("ada")).__enter__(),
    lambda store: store.recover_turns(),
    lambda store: store.drain(grace=0) and store.layout() and store.count(),
)


def test_a_closed_store_refuses_every_call_and_has_no_connection(
    open_store: OpenStore, other: SessionStore, replica: str
) -> None:
    open_store()  # which is looked at after the test
    store = open_store(replica=replica)
    store.get_or_create_session(source("ada"))
    assert store.count_sessions() == 1
    store.close()
    for call in CALLS:
        with pytest.raises(StoreClosed, match="the store was closed"):
            call(store)
    store.close()
    wait_until(lambda: open_connections(other, replica) == 0)


def test_a_turn_of_threads_that_waits_ends_as_its_store_is_closed(
    config: StoreConfig, other: SessionStore, replica: str
) -> None:
    held = begun(other)
    store = SessionStore.from_url(config=config)
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(begun, store, "ada", f"m-{n}", wait=600) for n in range(2)]
        wait_until(lambda: next(other.list_turns()).waiting == 2)
        store.close()
        for one in waiting:
            with pytest.raises(StoreClosed):
                one.result(timeout=60)
    assert next(other.list_turns()).waiting == 0
    wait_until(lambda: open_connections(other, replica) == 0)
    held.end()
    with other.turn(source("ada"), "m-0", wait=0):
        pass


def test_a_wait_that_is_closed_before_it_has_its_connection_ends_likewise(
    config: StoreConfig, other: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = begun(other)
    store = SessionStore.from_url(config=config)

    class CutPool:
        def get_connection(self) -> object:
            store.close()
            raise TypeError("as redis-py does where another thread has cut the connection")

    monkeypatch.setattr(Waits, "_pool_for", lambda *_: CutPool())
    with pytest.raises(StoreClosed):
        begun(store, "ada", "m-1", wait=600)
    held.end()


async def test_a_turn_of_tasks_that_waits_ends_as_its_store_is_closed(
    config: StoreConfig, other: SessionStore, replica: str
) -> None:
    held = begun(other)
    store = AsyncSessionStore.from_url(config=config)

    async def wait(number: int) -> str:
        async with store.turn(source("ada"), f"m-{number}", wait=600):
            return "not reached"

    waiting = [asyncio.create_task(wait(number)) for number in range(2)]
    await asyncio.to_thread(wait_until, lambda: next(other.list_turns()).waiting == 2)
    await store.close()
    async with asyncio.timeout(60):
        told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in told] == [StoreClosed] * 2
    assert next(other.list_turns()).waiting == 0
    await asyncio.to_thread(wait_until, lambda: open_connections(other, replica) == 0)
    held.end()
    with other.turn(source("ada"), "m-0", wait=0):
        pass


@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_a_client_that_was_given_stays_open(backend: str, sites: Sites, namespace: str) -> None:
    server = sites.server(backend)
    client = redis.Redis(host=HOST, port=server.port)
    with ThreadPoolExecutor(1) as threads:
        with SessionStore(client, namespace=namespace) as store:
            blocked = threads.submit(client.blpop, [namespace], 60)
            wait_until(lambda: any(one["cmd"] == "blpop" for one in server.client().client_list()))
            store.get_or_create_session(source("ada"))
        server.client().rpush(namespace, "go")
        assert blocked.result(timeout=60) == (namespace.encode(), b"go")
    client.close()


@pytest.mark.parametrize("backend", BACKEND_NAMES)
async def test_a_client_of_tasks_that_was_given_stays_open(
    backend: str, sites: Sites, namespace: str
) -> None:
    server = sites.server(backend)
    client: Any = redis.asyncio.Redis(host=HOST, port=server.port)
    blocked = asyncio.create_task(client.blpop([namespace], 60))
    async with AsyncSessionStore(client, namespace=namespace) as store:
        await store.get_or_create_session(source("ada"))
        await asyncio.to_thread(
            wait_until, lambda: any(one["cmd"] == "blpop" for one in server.client().client_list())
        )
    server.client().rpush(namespace, "go")
    async with asyncio.timeout(60):
        assert await blocked == (namespace.encode(), b"go")
    await client.aclose()


async def test_a_close_that_is_cancelled_closes_the_connections_all_the_same(
    config: StoreConfig, other: SessionStore, replica: str
) -> None:
    store = AsyncSessionStore.from_url(config=config)
    await store.get_or_create_session(source("ada"))
    may_end = asyncio.Event()

    async def errand() -> None:
        await may_end.wait()

    store._turns._run_errand(errand())
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0.05)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(StoreClosed):
        await store.count_sessions()
    await asyncio.to_thread(wait_until, lambda: open_connections(other, replica) == 0)
    may_end.set()


async def test_a_call_of_tasks_that_is_cancelled_after_a_close_leaves_no_connection(
    sites: Sites, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was connecting as the store was closed, and is cancelled when it has its answer."""
    connect: Any = asyncio.open_connection
    connecting, may_connect, released = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def connect_late(*args: Any, **options: Any) -> Any:
        connecting.set()
        await may_connect.wait()
        return await connect(*args, **options)

    async def release(connection: Any) -> None:
        await give_back(connection)
        released.set()
        await asyncio.Event().wait()

    with FaultyProxy(sites.server("valkey-9.1").address) as proxy:
        config = StoreConfig(url=proxy.url(), namespace=namespace, partitions=4)
        store = AsyncSessionStore.from_url(config=config)
        await store.get_or_create_session(source("ada"))
        client: Any = store._runner.connection.client
        pool = client.connection_pool
        give_back = pool.release
        monkeypatch.setattr(asyncio, "open_connection", connect_late)
        monkeypatch.setattr(pool, "release", release)
        call = asyncio.create_task(store.count_sessions())
        await connecting.wait()
        await store.close()
        may_connect.set()
        await released.wait()
        assert proxy.connections == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(wait_until, lambda: proxy.connections == 0)


async def test_who_reads_events_as_the_store_is_closed_comes_to_their_end(
    config: StoreConfig, other: SessionStore
) -> None:
    other.get_or_create_session(source("ada"))
    store = AsyncSessionStore.from_url(config=config)

    async def read() -> list[str]:
        return [event.kind async for event in store.events(since="oldest")]

    reading = asyncio.create_task(read())
    await store.count_sessions()
    await asyncio.sleep(0.1)
    await store.close()
    async with asyncio.timeout(60):
        assert await reading == ["created"]


def test_the_heart_of_threads_stops_with_its_store(
    config: StoreConfig, other: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = SessionStore.from_url(config=config.model_copy(update={"heartbeat_ttl": 1}))
    maintenance = store.maintenance()
    maintenance.start()
    wait_until(lambda: [one.name for one in other.list_replicas()] == [config.replica])
    store.close()
    wait_until(lambda: not maintenance._heart._thread.is_alive())
    assert "heartbeat" not in caplog.text
    maintenance.stop()


async def test_the_heart_of_tasks_stops_with_its_store(
    config: StoreConfig, other: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = AsyncSessionStore.from_url(config=config.model_copy(update={"heartbeat_ttl": 1}))
    maintenance = store.maintenance()
    maintenance.start()
    await asyncio.to_thread(
        wait_until, lambda: [one.name for one in other.list_replicas()] == [config.replica]
    )
    await store.close()
    heart: Any = maintenance._heart._task
    async with asyncio.timeout(60):
        await heart
    assert "heartbeat" not in caplog.text
    await maintenance.stop()
