"""One server, by TCP or a unix socket: nothing is tried twice, and nobody waits for ever."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from redis import exceptions as rx

from redisstore.connect import connect, connect_async
from redisstore.connect.settings import client_name
from tests.connect.connections import close, config, ping, ping_async
from tests.connect.crowd import check_that_tasks_wait, check_that_threads_wait
from tests.connect.login import QUOTED
from tests.servers import FaultyProxy, Server


def test_a_client_s_name_is_printable_without_spaces() -> None:
    assert client_name("gateway 1") == "redisstore-gateway-1"
    assert client_name("Göte\nborg") == "redisstore-G-te-borg"
    assert len(client_name("x" * 100)) == 80


async def test_tcp_and_unix_with_a_password(server: Server) -> None:
    for url in (
        f"redis://:{QUOTED}@127.0.0.1:{server.port}/3",
        f"unix://:{QUOTED}@{server.socket_path}?db=3",
        f"unix://{server.socket_path}?db=3&password={QUOTED}",
    ):
        for about in (ping(url), await ping_async(url)):
            assert about["name"] == "redisstore-gateway-1"
            assert about["db"] == 3
            assert about["resp"] == "2"


async def test_a_connection_tells_what_it_is(server: Server) -> None:
    for made in (connect(config(server.url())), connect_async(config(server.url()))):
        assert not made.clustered
        assert not made.imitated
        assert made.revive is None
        assert made.label == f"redis://:***@127.0.0.1:{server.port}/0"
        await close(made)


async def test_making_a_client_does_no_io(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    url = "redis://127.0.0.1:1"
    sentinels = "redis+sentinel://127.0.0.1:1/main"
    for made in (
        connect(config(url)),
        connect_async(config(url)),
        connect(config(sentinels)),
        connect_async(config(sentinels)),
        connect_async(config("redis+cluster://127.0.0.1:1")),
    ):
        await close(made)


async def test_nothing_is_tried_twice(server: Server) -> None:
    with FaultyProxy(server.address) as proxy:
        url = f"redis://:{QUOTED}@127.0.0.1:{proxy.address[1]}"
        client: Any = connect(config(url)).client
        client.ping()
        server.ask("DEL", "counter")
        proxy.drop_replies()
        with pytest.raises(rx.ConnectionError):
            client.eval("return redis.call('INCR', KEYS[1])", 1, "counter")
        client.close()
        async_client: Any = connect_async(config(url)).client
        await async_client.ping()
        proxy.drop_replies()
        with pytest.raises(rx.ConnectionError):
            await async_client.eval("return redis.call('INCR', KEYS[1])", 1, "counter")
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
        with pytest.raises(rx.TimeoutError):
            client.ping()
        with pytest.raises(rx.TimeoutError):
            await async_client.ping()
    client.close()
    await async_client.aclose()


async def test_callers_wait_for_a_connection(server: Server) -> None:
    settings = config(server.url(), max_connections=2)
    client: Any = connect(settings).client
    check_that_threads_wait(client)
    assert len(client.client_list()) <= 3
    client.close()
    async_client: Any = connect_async(settings).client
    await check_that_tasks_wait(async_client)
    assert len(await async_client.client_list()) <= 3
    await async_client.aclose()


async def test_waiting_for_a_connection_ends_at_the_deadline(server: Server) -> None:
    settings = config(server.url(), max_connections=1, deadline=0.2)
    client: Any = connect(settings).client
    held = client.connection_pool.get_connection()
    with pytest.raises(rx.ConnectionError, match="No connection available"):
        client.ping()
    client.connection_pool.release(held)
    assert client.ping()
    client.close()
