"""The proxy loses, holds, delays and cuts exactly what it is told to."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.servers import FaultyProxy, Server

INCREMENT = "return redis.call('INCR', KEYS[1])"


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(server.address) as running:
        yield running


@pytest.fixture
def victim(server: Server, proxy: FaultyProxy) -> Iterator[redis.Redis]:
    with client_through(proxy, server) as client:
        yield client


def client_through(proxy: FaultyProxy, server: Server, **options: float) -> redis.Redis:
    """A client of the server that takes the way through the proxy."""
    return server.client(port=proxy.address[1], **options)


def test_proxy_passes_everything_through(victim: redis.Redis, proxy: FaultyProxy) -> None:
    large = os.urandom(3 << 20)
    victim.set("large", large)
    assert victim.get("large") == large
    with victim.pipeline() as pipe:
        for number in range(500):
            pipe.rpush("list", number)
        assert pipe.execute()[-1] == 500
    assert proxy.connections == 1
    assert (proxy.dropped_replies, proxy.dropped_requests) == (0, 0)


def test_dropped_reply_comes_after_the_write(
    server: Server, proxy: FaultyProxy, victim: redis.Redis
) -> None:
    proxy.drop_replies(1)
    with pytest.raises(redis.ConnectionError):
        victim.eval(INCREMENT, 1, "n")
    assert proxy.dropped_replies == 1
    assert server.client().get("n") == b"1"
    assert victim.eval(INCREMENT, 1, "n") == 2


def test_refusal_of_an_unknown_script_is_not_what_is_dropped(
    server: Server, proxy: FaultyProxy, victim: redis.Redis
) -> None:
    script = victim.register_script(INCREMENT)
    proxy.drop_replies(2)
    for written in (b"1", b"2"):
        with pytest.raises(redis.ConnectionError):
            script(keys=["n"])
        assert server.client().get("n") == written
    assert script(keys=["n"]) == 3
    assert proxy.dropped_replies == 2
    assert server.commandstats()["evalsha"] == 4


def test_large_reply_is_dropped_whole(proxy: FaultyProxy, victim: redis.Redis) -> None:
    proxy.drop_replies(1)
    with pytest.raises(redis.ConnectionError):
        victim.eval("return string.rep('x', 4000000)", 0)
    assert proxy.dropped_replies == 1


def test_pipeline_is_carried_out_though_its_replies_are_dropped(
    server: Server, proxy: FaultyProxy, victim: redis.Redis
) -> None:
    proxy.drop_replies(1)
    with victim.pipeline(transaction=False) as pipe:
        for _ in range(3):
            pipe.eval(INCREMENT, 1, "n")
        with pytest.raises(redis.ConnectionError):
            pipe.execute()
    assert server.client().get("n") == b"3"


def test_other_commands_can_be_chosen_to_be_dropped(
    server: Server, proxy: FaultyProxy, victim: redis.Redis
) -> None:
    proxy.drop_replies(1, commands={"SET"})
    assert victim.eval(INCREMENT, 1, "n") == 1
    with pytest.raises(redis.ConnectionError):
        victim.set("x", 1)
    assert server.client().get("x") == b"1"


def test_dropped_request_never_reaches_the_server(
    server: Server, proxy: FaultyProxy, victim: redis.Redis
) -> None:
    proxy.drop_requests(1)
    with pytest.raises(redis.ConnectionError):
        victim.eval(INCREMENT, 1, "n")
    assert proxy.dropped_requests == 1
    assert server.client().get("n") is None
    assert victim.eval(INCREMENT, 1, "n") == 1


def test_hanging_proxy_lets_clients_time_out(server: Server, proxy: FaultyProxy) -> None:
    with client_through(proxy, server, socket_timeout=0.2) as client:
        client.set("x", 0)
        proxy.hang()
        for _ in range(2):
            with pytest.raises(redis.TimeoutError):
                client.incr("x")
        assert server.client().get("x") == b"0"
        proxy.pass_through()
        assert client.ping()


def test_held_reply_comes_after_the_write(server: Server, proxy: FaultyProxy) -> None:
    with client_through(proxy, server, socket_timeout=0.2) as client:
        client.ping()
        proxy.hold_replies()
        with pytest.raises(redis.TimeoutError):
            client.incr("x")
        assert server.client().get("x") == b"1"
        proxy.pass_through()
        assert client.incr("x") == 2


def test_cut_ends_a_call_in_the_middle(proxy: FaultyProxy, victim: redis.Redis) -> None:
    victim.ping()
    timer = threading.Timer(0.1, proxy.cut)
    timer.start()
    with pytest.raises(redis.ConnectionError):
        victim.blpop(["nothing"], timeout=3)
    timer.join()
    assert proxy.cuts == 1
    assert victim.ping()


def test_delay_slows_requests_down(proxy: FaultyProxy, victim: redis.Redis) -> None:
    victim.ping()
    proxy.delay(0.15)
    before = time.monotonic()
    victim.ping()
    assert time.monotonic() - before >= 0.15


def test_messages_pass_an_armed_proxy(proxy: FaultyProxy, victim: redis.Redis) -> None:
    proxy.drop_replies(1)
    client: Any = victim
    with client.pubsub() as listener:
        listener.subscribe("news")
        assert listener.get_message(timeout=2) is not None
        victim.publish("news", "hello")
        message = listener.get_message(timeout=2)
        assert message is not None
        assert message["data"] == b"hello"


def test_proxy_without_a_server_closes_the_connection(server: Server, proxy: FaultyProxy) -> None:
    server.kill()
    with client_through(proxy, server) as client:
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert client.ping()
