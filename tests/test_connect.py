"""URLs to clients, and clients that the user made."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fakeredis
import pytest
import redis
import redis.asyncio
from redis import exceptions as rx

from redisstore.config import StoreConfig
from redisstore.connect import (
    AsyncClient,
    Connection,
    SyncClient,
    adopt,
    adopt_async,
    connect,
    connect_async,
)
from redisstore.connect.settings import client_name
from redisstore.embedded import EmbeddedServer
from redisstore.errors import InvalidInput, StoreRefused, StoreUnavailable
from tests.servers import (
    Cluster,
    FaultyProxy,
    SentinelSetup,
    Server,
    make_certificates,
    wait_until,
)

VALKEY = "valkey-9.1"
SECRET = "p@ss:w/rd?#[]%,é"  # noqa: S105 - a test server's
INCREASE = "return redis.call('INCR', KEYS[1])"
HIDDEN = quote(SECRET, safe="")


def config(url: str, **settings: float) -> StoreConfig:
    given: dict[str, Any] = {"replica": "gateway 1", "socket_timeout": 1.0, **settings}
    return StoreConfig(url=url, **given)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(VALKEY, listen="both", requirepass=SECRET) as running:
        yield running


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(VALKEY) as running:
        yield running


def ping(url: str, **settings: float) -> dict[str, Any]:
    """Ask through a sync client, and return what the server says of its connection."""
    connection = connect(config(url, **settings))
    client: Any = connection.client
    try:
        about = client.client_info()
    finally:
        client.close()
    return {**about, "label": connection.label}


async def ping_async(url: str, **settings: float) -> dict[str, Any]:
    connection = connect_async(config(url, **settings))
    client: Any = connection.client
    try:
        about = await client.client_info()
    finally:
        await client.aclose()
    return {**about, "label": connection.label}


# One server


def test_a_client_s_name_is_printable_without_spaces() -> None:
    assert client_name("gateway 1") == "redisstore-gateway-1"
    assert client_name("Göte\nborg") == "redisstore-G-te-borg"
    assert len(client_name("x" * 100)) == 80


async def test_tcp_and_unix_with_a_password(server: Server) -> None:
    for url in (
        f"redis://:{HIDDEN}@127.0.0.1:{server.port}/3",
        f"unix://:{HIDDEN}@{server.socket_path}?db=3",
        f"unix://{server.socket_path}?db=3&password={HIDDEN}",
    ):
        for about in (ping(url), await ping_async(url)):
            assert about["name"] == "redisstore-gateway-1"
            assert about["db"] == 3
            assert about["resp"] == "2"


async def test_a_connection_tells_what_it_is(server: Server) -> None:
    for made in (connect(config(server.url())), connect_async(config(server.url()))):
        assert not made.clustered
        assert made.knows_shebang
        assert made.revive is None
        assert made.label == f"redis://:***@127.0.0.1:{server.port}/0"
        await close(made)


async def close(connection: Connection[Any]) -> None:
    if isinstance(connection.client, redis.asyncio.Redis | redis.asyncio.RedisCluster):
        await connection.client.aclose()
    else:
        connection.client.close()


async def test_making_a_client_does_no_io() -> None:
    url = "redis://192.0.2.1:1"
    sentinels = "redis+sentinel://192.0.2.1:1/main"
    started = time.monotonic()
    for made in (
        connect(config(url)),
        connect_async(config(url)),
        connect(config(sentinels)),
        connect_async(config(sentinels)),
        connect_async(config("redis+cluster://192.0.2.1:1")),
    ):
        await close(made)
    assert time.monotonic() - started < 0.5


async def test_nothing_is_tried_twice(server: Server) -> None:
    with FaultyProxy(server.address) as proxy:
        url = f"redis://:{HIDDEN}@127.0.0.1:{proxy.address[1]}"
        client: Any = connect(config(url)).client
        client.ping()
        server.ask("DEL", "counter")
        proxy.drop_replies()
        with pytest.raises(rx.ConnectionError):
            client.eval(INCREASE, 1, "counter")
        client.close()
        async_client: Any = connect_async(config(url)).client
        await async_client.ping()
        proxy.drop_replies()
        with pytest.raises(rx.ConnectionError):
            await async_client.eval(INCREASE, 1, "counter")
        await async_client.aclose()
    assert int(server.ask("GET", "counter")) == 2


async def test_a_silent_server_is_given_up_after_the_socket_timeout(server: Server) -> None:
    url = server.url()
    settings = config(url, socket_timeout=0.2)
    client: Any = connect(settings).client
    async_client: Any = connect_async(settings).client
    client.ping()
    await async_client.ping()
    with server.paused():
        started = time.monotonic()
        with pytest.raises(rx.TimeoutError):
            client.ping()
        with pytest.raises(rx.TimeoutError):
            await async_client.ping()
        assert 0.3 < time.monotonic() - started < 1.5
    client.close()
    await async_client.aclose()


async def test_callers_wait_for_a_connection(server: Server) -> None:
    settings = config(server.url(), max_connections=2)
    client: Any = connect(settings).client
    check_that_threads_wait(client)
    assert len(client.client_list()) <= 3
    client.close()
    async_client: Any = connect_async(settings).client
    await asyncio.gather(*(async_client.ping() for _ in range(200)))
    assert len(await async_client.client_list()) <= 3
    await async_client.aclose()


def check_that_threads_wait(client: SyncClient) -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(20):
                client.get("key")
        except rx.RedisError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


async def test_waiting_for_a_connection_ends_at_the_deadline(server: Server) -> None:
    settings = config(server.url(), max_connections=1, deadline=0.2)
    client: Any = connect(settings).client
    held = client.connection_pool.get_connection()
    with pytest.raises(rx.ConnectionError, match="No connection available"):
        client.ping()
    client.connection_pool.release(held)
    assert client.ping()
    client.close()


# TLS


@pytest.fixture(scope="module")
def tls_server() -> Iterator[tuple[Server, Path]]:
    with tempfile.TemporaryDirectory() as directory:
        certificates = make_certificates(Path(directory), mutual=True)
        with Server("redis-7.0", tls=certificates, requirepass=SECRET) as running:
            yield running, Path(directory)


async def test_tls_checks_the_server_and_shows_the_client(
    tls_server: tuple[Server, Path],
) -> None:
    server, _ = tls_server
    assert server.tls is not None
    base = f"rediss://:{HIDDEN}@localhost:{server.port}"
    mine = f"ssl_certfile={server.tls.client_certificate}&ssl_keyfile={server.tls.client_key}"
    good = f"{base}?ssl_ca_certs={server.tls.ca}&{mine}"
    for about in (ping(good), await ping_async(good)):
        assert about["name"] == "redisstore-gateway-1"
    unchecked = f"{base}?ssl_cert_reqs=none&{mine}"
    assert ping(unchecked)
    assert await ping_async(unchecked)
    for bad in (f"{base}?{mine}", f"{base}?ssl_ca_certs={server.tls.ca}"):
        with pytest.raises(rx.ConnectionError):
            ping(bad)
        with pytest.raises(rx.ConnectionError):
            await ping_async(bad)


def test_a_missing_certificate_is_told_at_once() -> None:
    for form in ("rediss://h", "rediss+cluster://h", "rediss+sentinel://h/main"):
        with pytest.raises(InvalidInput, match="ssl_ca_certs: there is no file /missing"):
            connect(config(f"{form}?ssl_ca_certs=/missing"))
        with pytest.raises(InvalidInput, match="ssl_ca_certs: there is no file /missing"):
            connect_async(config(f"{form}?ssl_ca_certs=/missing"))


async def test_tls_to_a_cluster(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, mutual=True)
    with Server("redis-7.0", mode="cluster", tls=certificates, tls_cluster=True) as node:
        node.ask("CLUSTER ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: node.ask("CLUSTER INFO")["cluster_state"] == "ok")
        bare = f"rediss+cluster://localhost:{node.port}"
        url = (
            f"{bare}?ssl_ca_certs={certificates.ca}"
            f"&ssl_certfile={certificates.client_certificate}&ssl_keyfile={certificates.client_key}"
        )
        client: Any = connect(config(url)).client
        assert client.set("key", "value")
        client.close()
        async_client: Any = connect_async(config(url)).client
        assert await async_client.get("key") == b"value"
        await async_client.aclose()
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            connect(config(bare))


# Cluster


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
    await asyncio.gather(*(async_client.get("key") for _ in range(200)))
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
        connect(config("redis+cluster://127.0.0.1:1"))
    with pytest.raises(StoreRefused, match="invalid username-password"):
        connect(config(f"redis+cluster://:wrong@127.0.0.1:{server.port}"))
    with pytest.raises(StoreRefused, match=r"cluster support disabled|not enabled"):
        connect(config(f"redis+cluster://:{HIDDEN}@127.0.0.1:{server.port}"))


# Sentinel


async def test_sentinels_lead_to_the_present_master() -> None:
    with SentinelSetup(VALKEY, requirepass="secret") as setup:
        url = setup.url(db=2).replace("sentinel://", "sentinel://:secret@")
        made, made_async = connect(config(url)), connect_async(config(url))
        assert made.label == made_async.label == url.replace("secret", "***")
        client: Any = made.client
        async_client: Any = made_async.client
        client.set("key", "value")
        assert await async_client.get("key") == b"value"
        assert client.client_info()["db"] == 2
        check_that_threads_wait(client)
        await asyncio.gather(*(async_client.ping() for _ in range(200)))
        setup.fail_master()

        def written() -> bool:
            try:
                return bool(client.set("key", "new"))
            except rx.RedisError:
                return False

        wait_until(written)
        assert await eventually(async_client, "key") == b"new"
        client.close()
        await async_client.aclose()


async def eventually(client: AsyncClient, key: str) -> object:
    deadline = time.monotonic() + 10
    while True:
        try:
            return await client.get(key)
        except rx.RedisError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


def test_sentinels_have_a_login_of_their_own() -> None:
    with Server(VALKEY, mode="sentinel", requirepass=SECRET) as sentinel:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main?sentinel_password={HIDDEN}"
        client: Any = connect(config(url)).client
        with pytest.raises(rx.ConnectionError, match="No master found for 'main'"):
            client.ping()
        client.close()


# Memory


async def test_memory_is_private_without_a_name() -> None:
    one, other = connect(config("memory:")), connect(config("memory://"))
    assert not one.knows_shebang
    assert not one.clustered
    one.client.set("key", "value")
    assert other.client.get("key") is None
    await close(one)
    await close(other)


async def test_memory_with_a_name_is_shared() -> None:
    made = connect(config("memory://shared", max_connections=2))
    made_async = connect_async(config("memory://shared", max_connections=2))
    client: Any = made.client
    async_client: Any = made_async.client
    client.set("key", "value")
    assert await async_client.get("key") == b"value"
    assert await async_client.eval("return redis.call('GET', KEYS[1])", 1, "key") == b"value"
    assert connect(config("memory://other")).client.get("key") is None
    check_that_threads_wait(client)
    await asyncio.gather(*(async_client.get("key") for _ in range(50)))
    client.close()
    await async_client.aclose()


@pytest.mark.parametrize("missing", ["fakeredis", "lupa"])
def test_memory_without_its_extra_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InvalidInput, match=r"pip install 'redisstore\[memory\]'"):
        connect(config("memory:"))
    with pytest.raises(InvalidInput, match=r"pip install 'redisstore\[memory\]'"):
        connect_async(config("memory:"))


# Embedded


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="embedded ") as base:
        try:
            yield Path(base) / "data"
        finally:
            EmbeddedServer(Path(base) / "data").stop()
            EmbeddedServer(Path(base) / "redisstore").stop()


async def test_an_embedded_server_is_started_and_revived(directory: Path) -> None:
    url = f"embedded://{quote(str(directory))}?appendfsync=everysec"
    made = connect(config(url))
    made_async = connect_async(config(url))
    client: Any = made.client
    async_client: Any = made_async.client
    assert made.label == f"embedded://{directory}"
    assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
    client.set("key", "value")
    assert await async_client.get("key") == b"value"
    server = EmbeddedServer(directory)
    pid = server.pid()
    assert pid is not None
    os.kill(pid, 9)
    wait_until(lambda: not server.is_running())
    with pytest.raises(rx.ConnectionError):
        client.get("key")
    assert made.revive is not None
    made.revive()
    assert client.get("key") == b"value"
    assert made_async.revive is not None
    made_async.revive()
    assert await eventually(async_client, "key") == b"value"
    client.close()
    await async_client.aclose()


async def test_embedded_without_a_directory_uses_the_default(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(directory.parent))
    made = connect(config("embedded:"))
    assert made.client.ping()
    assert EmbeddedServer(directory.parent / "redisstore").is_running()
    await close(made)


def test_an_unknown_appendfsync_is_refused() -> None:
    with pytest.raises(InvalidInput, match="always"):
        connect(config("embedded:///nowhere?appendfsync=sometimes"))


# Clients that the user made


async def test_clients_of_all_kinds_are_adopted(server: Server, cluster: Cluster) -> None:
    plain = adopt(redis.Redis(port=server.port, password=SECRET, db=4))
    assert (plain.clustered, plain.knows_shebang, plain.revive) == (False, True, None)
    assert plain.label == f"redis://localhost:{server.port}/4"
    clustered = adopt(cluster.client())
    assert (clustered.clustered, clustered.knows_shebang) == (True, True)
    assert clustered.label.startswith("redis+cluster://127.0.0.1:")
    fake = adopt(fakeredis.FakeRedis())
    assert (fake.clustered, fake.knows_shebang) == (False, False)
    unix = adopt(redis.Redis(unix_socket_path="/run/redis.sock"))
    assert unix.label == "unix:///run/redis.sock"

    one = adopt_async(redis.asyncio.Redis(port=server.port, ssl=True))
    assert (one.clustered, one.knows_shebang) == (False, True)
    assert one.label == f"rediss://localhost:{server.port}/0"
    several = adopt_async(redis.asyncio.RedisCluster(*cluster.nodes[0].address))
    assert several.clustered
    assert several.label == "redis+cluster://{}:{}".format(*cluster.nodes[0].address)
    fake_async = adopt_async(fakeredis.FakeAsyncRedis())
    assert not fake_async.knows_shebang
    for made in (plain, fake, unix, one, several, fake_async):
        await close(made)


async def test_own_connections_can_be_adopted_again(cluster: Cluster) -> None:
    for url in ("redis://h", "redis+sentinel://h/main", "memory:", cluster.url()):
        made = connect(config(url))
        again = adopt(made.client)
        assert (again.clustered, again.knows_shebang) == (made.clustered, made.knows_shebang)
        await close(made)
        made_async = connect_async(config(url))
        again_async = adopt_async(made_async.client)
        assert again_async.clustered == made_async.clustered
        assert again_async.knows_shebang == made_async.knows_shebang
        await close(made_async)


async def test_unfit_clients_are_refused(cluster: Cluster) -> None:
    node = cluster.nodes[0].address
    decoding: list[Any] = [
        redis.Redis(decode_responses=True),
        cluster.client(decode_responses=True),
        fakeredis.FakeRedis(decode_responses=True),
    ]
    decoding_async: list[Any] = [
        redis.asyncio.Redis(decode_responses=True),
        redis.asyncio.RedisCluster(*node, decode_responses=True),
        fakeredis.FakeAsyncRedis(decode_responses=True),
    ]
    for client in decoding:
        with pytest.raises(InvalidInput, match=r"^client: decodes replies"):
            adopt(client)
    for client in decoding_async:
        with pytest.raises(InvalidInput, match=r"^client: decodes replies"):
            adopt_async(client)
        with pytest.raises(InvalidInput, match="AsyncSessionStore takes"):
            adopt(client)
    with pytest.raises(InvalidInput, match="encodes as latin-1"):
        adopt(redis.Redis(encoding="latin-1"))
    for wrong in (redis.Redis(), cluster.client(), fakeredis.FakeRedis()):
        with pytest.raises(InvalidInput, match="is a sync client, which SessionStore takes"):
            adopt_async(wrong)  # type: ignore[arg-type]
    pipelining: Any = cluster.client()
    unfit: list[Any] = [
        redis.Redis().pipeline(),
        pipelining.pipeline(),
        redis.ConnectionPool(),
        "redis://localhost",
        None,
        redis.Redis,
    ]
    for client in unfit:
        with pytest.raises(InvalidInput, match=r"must be a redis\.client\.Redis or"):
            adopt(client)
    unfit_async: list[Any] = [redis.asyncio.Redis().pipeline(), None]
    for client in unfit_async:
        with pytest.raises(InvalidInput, match=r"must be a redis\.asyncio\.client\.Redis or"):
            adopt_async(client)
