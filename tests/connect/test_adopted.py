"""Clients that the user made: of all kinds adopted, or refused with what would be right."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
from redis import exceptions as rx

from redisstore.connect import adopt, adopt_async, connect, connect_async
from redisstore.errors import InvalidInput
from tests.connect.connections import close, config
from tests.connect.login import SECRET
from tests.servers import Cluster, FaultyProxy, Server

CONFIG = config("redis://h")


async def test_clients_of_all_kinds_are_adopted(server: Server, cluster: Cluster) -> None:
    plain = adopt(redis.Redis(port=server.port, password=SECRET, db=4), CONFIG)
    assert (plain.clustered, plain.imitated, plain.revive) == (False, False, None)
    assert plain.label == f"redis://localhost:{server.port}/4"
    clustered = adopt(cluster.client(), CONFIG)
    assert (clustered.clustered, clustered.imitated) == (True, False)
    assert clustered.label.startswith("redis+cluster://127.0.0.1:")
    fake = adopt(fakeredis.FakeRedis(), CONFIG)
    assert (fake.clustered, fake.imitated) == (False, True)
    unix = adopt(redis.Redis(unix_socket_path="/run/redis.sock"), CONFIG)
    assert unix.label == "unix:///run/redis.sock"

    one = adopt_async(redis.asyncio.Redis(port=server.port, ssl=True), CONFIG)
    assert (one.clustered, one.imitated) == (False, False)
    assert one.label == f"rediss://localhost:{server.port}/0"
    several = adopt_async(redis.asyncio.RedisCluster(*cluster.nodes[0].address), CONFIG)
    assert several.clustered
    assert several.label == "redis+cluster://{}:{}".format(*cluster.nodes[0].address)
    fake_async = adopt_async(fakeredis.FakeAsyncRedis(), CONFIG)
    assert fake_async.imitated
    for made in (plain, fake, unix, one, several, fake_async):
        await close(made)


async def test_own_connections_can_be_adopted_again(cluster: Cluster) -> None:
    for url in ("redis://h", "redis+sentinel://h/main", "memory:", cluster.url()):
        made = connect(config(url))
        again = adopt(made.client, CONFIG)
        assert (again.clustered, again.imitated) == (made.clustered, made.imitated)
        await close(made)
        made_async = connect_async(config(url))
        again_async = adopt_async(made_async.client, CONFIG)
        assert again_async.clustered == made_async.clustered
        assert again_async.imitated == made_async.imitated
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
            adopt(client, CONFIG)
    for client in decoding_async:
        with pytest.raises(InvalidInput, match=r"^client: decodes replies"):
            adopt_async(client, CONFIG)
        with pytest.raises(InvalidInput, match="AsyncSessionStore takes"):
            adopt(client, CONFIG)
    with pytest.raises(InvalidInput, match="encodes as latin-1"):
        adopt(redis.Redis(encoding="latin-1"), CONFIG)
    for wrong in (redis.Redis(), cluster.client(), fakeredis.FakeRedis()):
        with pytest.raises(InvalidInput, match="is a sync client, which SessionStore takes"):
            adopt_async(wrong, CONFIG)  # type: ignore[arg-type]
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
            adopt(client, CONFIG)
    unfit_async: list[Any] = [redis.asyncio.Redis().pipeline(), None]
    for client in unfit_async:
        with pytest.raises(InvalidInput, match=r"must be a redis\.asyncio\.client\.Redis or"):
            adopt_async(client, CONFIG)


async def test_the_retries_of_an_adopted_client_are_off(server: Server) -> None:
    """They would outlive the time in which the server knows a repetition."""
    with FaultyProxy(server.address) as proxy:
        place: dict[str, Any] = {"host": "127.0.0.1", "port": proxy.address[1], "password": SECRET}
        pool = redis.BlockingConnectionPool(**place)  # type: ignore[no-untyped-call]
        used = redis.Redis(connection_pool=pool)
        used.ping()
        for client in (redis.Redis(**place), used):
            adopt(client, CONFIG)
            client.delete("counter")
            proxy.drop_replies()
            with pytest.raises(rx.ConnectionError):
                client.eval("return redis.call('INCR', KEYS[1])", 1, "counter")
            assert client.get("counter") == b"1"
            client.close()
        async_client: Any = redis.asyncio.Redis(**place)
        adopt_async(async_client, CONFIG)
        proxy.drop_replies()
        with pytest.raises(rx.ConnectionError):
            await async_client.eval("return redis.call('INCR', KEYS[1])", 1, "counter")
        assert await async_client.get("counter") == b"2"
        await async_client.aclose()
