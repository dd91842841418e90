"""The connection that all tasks of an event loop share: whose reply is whose, and what ends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis import exceptions as rx
from redis.asyncio.connection import Connection

from redisstore import CorruptEntry, StoreClosed
from redisstore.connect.line import Line, open_line
from tests.connect.connections import of
from tests.entries import key, source
from tests.servers import HOST, FaultyProxy, Server, wait_until

PEOPLE = 64


async def line_to(server: Server, patience: float = 5.0) -> Line:
    return await open_line(Connection(host=HOST, port=server.port, protocol=2), patience)


async def test_everyone_gets_the_own_reply_and_errors_reach_who_asked(empty: Server) -> None:
    lanes = [str(number) for number in range(PEOPLE)]
    async with of(empty.url()) as store:
        created = await asyncio.gather(*(store.get_or_create_session(source(n)) for n in lanes))
        assert [entry.session_key for entry in created] == [key(n) for n in lanes]
        damaged = set(lanes[::7])
        for n in damaged:
            empty.client().set(f"{{redisstore}}:entry:{key(n)}", "no hash")
        for _ in range(5):
            found = await asyncio.gather(
                *(store.get_session(key(n)) for n in lanes), return_exceptions=True
            )
            for n, entry, first in zip(lanes, found, created, strict=True):
                if n in damaged:
                    assert isinstance(entry, CorruptEntry)
                    assert key(n) in str(entry)
                else:
                    assert entry == first


async def test_what_is_ready_goes_out_together_on_one_connection(empty: Server) -> None:
    client: Any = empty.client()
    async with of(empty.url()) as store:
        await store.get_or_create_session(source("1"))
        before = client.info("stats")
        await asyncio.gather(*(store.get_session(key("1")) for _ in range(PEOPLE)))
        after = client.info("stats")
        named = [one for one in client.client_list() if one["name"] == "redisstore-lines"]
    commands = after["total_commands_processed"] - before["total_commands_processed"]
    assert commands >= PEOPLE
    # One to ask for these figures, and the calls by a handful of buffers, not one each.
    assert after["total_reads_processed"] - before["total_reads_processed"] <= 1 + PEOPLE // 8
    assert len(named) == 1


async def test_calls_about_a_session_arrive_in_the_order_in_which_they_were_made(
    empty: Server,
) -> None:
    async with of(empty.url()) as store:
        await store.get_or_create_session(source("1"))
        calls = (store.update_session(key("1"), output_tokens=1) for _ in range(PEOPLE))
        entries = await asyncio.gather(*calls)
    assert [entry.output_tokens for entry in entries if entry] == [*range(1, PEOPLE + 1)]


async def test_a_cancelled_call_takes_no_reply_of_another(empty: Server) -> None:
    client: Any = empty.client()
    lanes = [str(number) for number in range(PEOPLE)]
    async with of(empty.url()) as store:
        await asyncio.gather(*(store.get_or_create_session(source(n)) for n in lanes))
        connections = client.info("stats")["total_connections_received"]
        for turns in range(6):
            tasks = [asyncio.create_task(store.get_session(key(n))) for n in lanes]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            for n, entry in [*zip(lanes, found, strict=True)][1::2]:
                assert not isinstance(entry, BaseException)
                assert entry is not None
                assert entry.session_key == key(n)
        assert client.info("stats")["total_connections_received"] == connections


async def test_what_was_under_way_on_a_lost_connection_is_done_once(empty: Server) -> None:
    lanes = [str(number) for number in range(PEOPLE)]
    with FaultyProxy((HOST, empty.port)) as proxy:
        async with of(proxy.url()) as store:
            await asyncio.gather(*(store.get_or_create_session(source(n)) for n in lanes))
            for _ in range(3):
                proxy.drop_replies(1)
                counted = (store.update_session(key(n), output_tokens=5) for n in lanes)
                assert None not in await asyncio.gather(*counted)
            assert proxy.dropped_replies == 3
            entries = await asyncio.gather(*(store.get_session(key(n)) for n in lanes))
    assert [entry.output_tokens for entry in entries if entry] == [15] * PEOPLE
    assert {entry.version for entry in entries if entry} == {4}


async def test_a_silent_line_is_given_up_and_the_next_call_has_another(empty: Server) -> None:
    with FaultyProxy((HOST, empty.port)) as proxy:
        line = await open_line(Connection(host=HOST, port=proxy.address[1], protocol=2), 0.2)
        assert await line.send(("PING",)) == b"PONG"
        proxy.hang()
        waiting = [line.send(("PING",)) for _ in range(3)]
        for reply in waiting:
            with pytest.raises(rx.TimeoutError, match=r"no answer within 0\.2 s"):
                await reply
        assert not line.usable
        proxy.pass_through()
        async with of(proxy.url()) as store:
            assert await store.count_sessions() == 0
            assert await store.get_session(key("1")) is None


async def test_a_line_that_is_used_goes_on_beyond_its_patience(empty: Server) -> None:
    line = await line_to(empty, 0.1)
    for _ in range(6):
        assert await line.send(("PING",)) == b"PONG"
        await asyncio.sleep(0.05)
    assert line.usable
    line.close()


async def test_a_reply_that_nobody_asked_for_ends_the_line(empty: Server) -> None:
    line = await line_to(empty)
    line.data_received(b"+OK\r\n")
    assert not line.usable
    line = await line_to(empty)
    answer = line.send(("PING",))
    line.data_received(b"?what\r\n")
    with pytest.raises(rx.ConnectionError, match="nobody asked for"):
        await answer


async def test_a_reply_comes_in_pieces(empty: Server) -> None:
    line = await line_to(empty)
    first, second, third = (line.send(("GET", name)) for name in ("a", "b", "c"))
    for at, piece in enumerate(
        (b"$3\r", b"\nab", b"c\r\n-ERR n", b"o\r\n>2\r\n+push\r\n+x\r\n*0\r\n")
    ):
        assert first.done() == (at > 2)
        line.data_received(piece)
    assert await first == b"abc"
    with pytest.raises(rx.ResponseError, match="ERR no"):
        await second
    assert await third == []
    line.close()


async def test_no_line_is_kept_to_what_takes_no_writes_any_more(empty: Server) -> None:
    client: Any = empty.client()
    async with of(empty.url(), deadline=10.0) as store:
        await store.get_or_create_session(source("1"))
        client.replicaof(HOST, 1)
        writing = asyncio.create_task(store.update_session(key("1"), output_tokens=1))
        await asyncio.sleep(0.2)
        assert not writing.done()
        client.replicaof("NO", "ONE")
        entry = await writing
    assert entry is not None
    assert entry.output_tokens == 1


def test_a_store_serves_one_event_loop_after_another(empty: Server) -> None:
    store = of(empty.url())

    async def count() -> int:
        await store.get_or_create_session(source("1"))
        entry = await store.update_session(key("1"), output_tokens=1)
        lines: Any = store._runner._lines
        await lines.close()
        return entry.output_tokens if entry else 0

    assert [asyncio.run(count()) for _ in range(3)] == [1, 2, 3]
    asyncio.run(store.close())


async def test_those_who_wait_for_a_line_that_can_t_be_opened_are_told_at_once() -> None:
    with Server("valkey-9.1") as away:
        store = of(away.url(), deadline=0.4, socket_timeout=0.2)
    loop = asyncio.get_running_loop()
    started = loop.time()
    calls = (store.get_session(key(str(number))) for number in range(PEOPLE))
    told = await asyncio.gather(*calls, return_exceptions=True)
    await store.close()
    assert {type(one).__name__ for one in told} == {"StoreUnavailable"}
    assert loop.time() - started < 5  # together, not one after the other: that would be 25 s


async def test_closing_in_the_middle_of_an_opening_leaves_nothing_behind(empty: Server) -> None:
    with FaultyProxy((HOST, empty.port)) as proxy:
        proxy.hang()
        store = of(proxy.url())
        asking = asyncio.create_task(store.get_session(key("1")))
        await asyncio.sleep(0.05)
        await store.close()
        proxy.pass_through()
        with pytest.raises(StoreClosed):
            await asking
        await asyncio.to_thread(wait_until, lambda: proxy.connections == 0)


async def test_a_call_into_a_line_that_has_ended_is_told_at_once(empty: Server) -> None:
    line = await line_to(empty)
    assert await line.send(("PING",)) == b"PONG"
    line.close()
    with pytest.raises(rx.ConnectionError, match="closed"):
        await line.send(("PING",))


async def test_a_line_that_goes_on_answering_is_kept_and_who_waits_too_long_is_told(
    empty: Server,
) -> None:
    with FaultyProxy((HOST, empty.port)) as proxy:
        quick = Connection(host=HOST, port=proxy.address[1], protocol=2, socket_timeout=0.2)
        line = await open_line(quick, 0.5)
        proxy.hang()
        first, second, third, last = (line.send(("PING",)) for _ in range(4))
        for answered in (first, second, third):
            await asyncio.sleep(0.15)  # longer than the patience, in all
            line.data_received(b"+PONG\r\n")
            assert await answered == b"PONG"
        await asyncio.sleep(0.1)
        with pytest.raises(rx.TimeoutError, match=r"within 0\.5 s"):
            await last
        assert line.usable
        line.data_received(b"+PONG\r\n")  # the late answer is nobody else's
        proxy.pass_through()
        assert line.usable
        line.close()
