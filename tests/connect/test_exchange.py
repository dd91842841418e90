"""How threads send calls: each on a connection of its own, and on none that is in doubt."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from redis import exceptions as rx
from redis.cache import CacheConfig

from redisstore import SessionStore, StoreClosed, StoreConfig
from redisstore.connect import adopt, connect, exchange_for
from redisstore.connect.exchange import Exchange
from tests.entries import key, source
from tests.servers import HOST, FaultyProxy, Server, require, wait_until

NAME = "redisstore-threads"


@pytest.fixture(scope="module")
def open_server() -> Iterator[Server]:
    with Server(require("redis-8.2")) as running:
        yield running


def config(url: str, **settings: Any) -> StoreConfig:
    return StoreConfig(url=url, replica="threads", **settings)


def exchange(url: str, *, max_size: int = 4, timeout: float = 5.0) -> Exchange:
    made = exchange_for(connect(config(url, max_connections=max_size)), timeout)
    assert made is not None
    return made


def connections(server: Server) -> int:
    client: Any = server.client()
    return sum(one["name"] == NAME for one in client.client_list())


def test_threads_in_excess_wait_for_a_connection(open_server: Server) -> None:
    on = exchange(open_server.url(), max_size=3)
    with ThreadPoolExecutor(12) as threads:
        asked = [str(number) for number in range(600)]
        assert [*threads.map(lambda n: on.execute_command("ECHO", n), asked)] == [
            n.encode() for n in asked
        ]
    assert connections(open_server) <= 3
    on.close()


def test_one_thread_has_one_connection_and_closing_ends_it(open_server: Server) -> None:
    before = connections(open_server)
    on = exchange(open_server.url())
    for _ in range(5):
        assert on.execute_command("PING") == b"PONG"
        with pytest.raises(rx.ResponseError):
            on.execute_command("NONSENSE")
    assert connections(open_server) == before + 1
    on.close()
    assert connections(open_server) == before


def test_who_waits_in_vain_is_told(open_server: Server) -> None:
    on = exchange(open_server.url(), max_size=1, timeout=0.1)
    other = exchange(open_server.url())
    blocked = threading.Thread(target=lambda: on.execute_command("BLPOP", "go", 10))
    blocked.start()
    try:
        while not other.execute_command("CLIENT", "LIST").count(b"cmd=blpop"):
            continue
        with pytest.raises(rx.MaxConnectionsError):
            on.execute_command("PING")
    finally:
        other.execute_command("RPUSH", "go", "1")
        blocked.join()
    assert on.execute_command("PING") == b"PONG"


def test_errors_within_a_batch_are_returned_in_their_places(open_server: Server) -> None:
    on = exchange(open_server.url())
    first, second, third = on.execute_all([("ECHO", "1"), ("NONSENSE",), ("ECHO", "3")])
    assert (first, third) == (b"1", b"3")
    assert isinstance(second, rx.ResponseError)
    assert on.execute_command("PING") == b"PONG"


def test_a_call_that_was_broken_off_leaves_no_reply_to_the_next(open_server: Server) -> None:
    on = exchange(open_server.url(), max_size=1)
    assert on.execute_command("ECHO", "before") == b"before"
    connection: Any = on._idle[-1]
    read = connection.read_response

    def interrupted() -> object:
        connection.read_response = read
        raise KeyboardInterrupt

    connection.read_response = interrupted
    with pytest.raises(KeyboardInterrupt):
        on.execute_command("ECHO", "lost")
    assert on.execute_command("ECHO", "after") == b"after"


def test_places_of_connections_that_got_lost_are_free(open_server: Server) -> None:
    on = exchange(open_server.url(), max_size=1, timeout=0.1)
    for _ in range(5):
        on._acquire()  # and an exception of a signal's handler before it is used
    taken = on._acquire()
    with pytest.raises(rx.MaxConnectionsError):
        on.execute_command("PING")
    del taken
    assert on.execute_command("PING") == b"PONG"
    on.close()


def test_threads_are_served_in_the_order_they_came_in(open_server: Server) -> None:
    on = exchange(open_server.url(), max_size=1, timeout=30.0)
    held = on._acquire()
    served: list[int] = []

    def ask(number: int) -> None:
        connection = on._acquire()
        served.append(number)
        on._release(connection)

    threads: list[threading.Thread] = []
    for number in range(16):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        wait_until(lambda: len(on._waiting) == len(threads))
    on._release(held)
    for thread in threads:
        thread.join()
    assert served == [*range(16)]
    on.close()


def test_connections_that_are_cut_leave_nothing_behind(open_server: Server) -> None:
    with FaultyProxy((HOST, open_server.port)) as proxy:
        kinds: list[Any] = [redis.ConnectionPool, redis.BlockingConnectionPool]
        for kind in kinds:
            pool = kind(host=HOST, port=proxy.address[1], max_connections=5)
            on = exchange_for(adopt(redis.Redis(connection_pool=pool), config("")), 5.0)
            assert on is not None
            for _ in range(50):
                proxy.drop_replies(1)
                with pytest.raises(rx.ConnectionError):
                    on.execute_command("EVAL", "return 1", 0)
            assert on.execute_command("EVAL", "return 1", 0) == 1
            assert not getattr(pool, "_connections", None)
            assert not getattr(pool, "_created_connections", None)
            on.close()


@pytest.mark.parametrize("at_once", [False, True])
def test_who_became_a_replica_is_left(*, at_once: bool) -> None:
    with Server(require("redis-8.2")) as server:
        on = exchange(server.url())
        assert on.execute_command("SET", "key", "1") == b"OK"
        (before,) = on._idle
        server.ask("REPLICAOF", HOST, "1")
        if at_once:
            (reply,) = on.execute_all([("SET", "key", "2")])
            assert isinstance(reply, rx.ReadOnlyError)
        else:
            with pytest.raises(rx.ReadOnlyError):
                on.execute_command("SET", "key", "2")
        assert not on._idle
        server.ask("REPLICAOF", "NO", "ONE")
        assert on.execute_command("SET", "key", "3") == b"OK"
        assert before not in on._idle
        on.close()


def test_a_call_under_way_while_closing_leaves_no_connection(open_server: Server) -> None:
    before = connections(open_server)
    on = exchange(open_server.url())
    client: Any = open_server.client()
    blocked = threading.Thread(target=lambda: on.execute_command("BLPOP", "end", 30))
    blocked.start()
    wait_until(lambda: any(one["cmd"] == "blpop" for one in client.client_list()))
    on.close()
    assert connections(open_server) == before + 1
    client.rpush("end", "1")
    blocked.join()
    wait_until(lambda: connections(open_server) == before)
    with pytest.raises(StoreClosed):
        on.execute_command("PING")
    assert connections(open_server) == before


def test_who_waits_for_a_connection_while_closing_is_told_at_once(open_server: Server) -> None:
    on = exchange(open_server.url(), max_size=1, timeout=600.0)
    held = on._acquire()
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(on.execute_command, "PING") for _ in range(3)]
        wait_until(lambda: len(on._waiting) == 3)
        on.close()
        for one in waiting:
            with pytest.raises(StoreClosed):
                one.result(timeout=60)
    on._release(held)
    assert not on._idle


def test_giving_up_ends_though_others_put_back_meanwhile(open_server: Server) -> None:
    on = exchange(open_server.url())
    first, second, third = (on._acquire() for _ in range(3))
    on._release(second)
    disconnect = second.disconnect

    def put_back_another() -> None:
        on._release(third)
        disconnect()

    second.disconnect = put_back_another
    on._discard(first)
    assert [*on._idle] == [third]
    on.close()


def test_a_failure_takes_the_idle_connections_along(open_server: Server) -> None:
    with FaultyProxy((HOST, open_server.port)) as proxy:
        on = exchange(proxy.url())
        together = threading.Barrier(4)

        def meet(_: int) -> object:
            together.wait()
            return on.execute_command("EVAL", "return 1", 0)

        with ThreadPoolExecutor(4) as threads:
            assert [*threads.map(meet, range(4))] == [1] * 4
        proxy.drop_replies(1)
        with pytest.raises(rx.ConnectionError):
            on.execute_command("EVAL", "return 1", 0)
        assert not on._idle
        assert [on.execute_command("PING") for _ in range(4)] == [b"PONG"] * 4


def test_a_forked_process_has_connections_of_its_own(open_server: Server) -> None:
    with SessionStore.from_url(config=config(open_server.url())) as store:
        store.get_or_create_session(source("1"))
        child = os.fork()
        if child == 0:
            entry = store.update_session(key("1"), output_tokens=1)
            os._exit(0 if entry is not None and entry.output_tokens == 1 else 1)
        entries = [store.get_session(key("1")) for _ in range(200)]
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert None not in entries
        changed = store.update_session(key("1"), output_tokens=1)
        assert changed is not None
        assert changed.output_tokens == 2


def test_what_a_client_does_by_itself_it_goes_on_doing(open_server: Server) -> None:
    cached = redis.Redis(port=open_server.port, protocol=3, cache_config=CacheConfig())
    plain = redis.Redis(port=open_server.port)
    settled = config(open_server.url())
    assert exchange_for(adopt(cached, settled), 1.0) is None
    assert exchange_for(connect(config("memory:")), 1.0) is None
    assert exchange_for(adopt(plain, settled), 1.0) is not None
    with SessionStore(cached, config=settled) as store:
        assert store.get_or_create_session(source("2")).session_key == key("2")
