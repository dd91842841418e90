"""The lines of a store: one to each master, in each event loop, and none when it is closed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from redisstore import SessionEntry, StoreClosed
from tests.connect.connections import of
from tests.entries import key, source
from tests.servers import Cluster, Server, wait_until

PEOPLE = 64


async def test_a_cluster_has_a_line_to_each_master(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    lanes = [str(number) for number in range(200)]
    with caplog.at_level("DEBUG", "redisstore"):
        async with of(cluster.url()) as store:
            await store.get_or_create_session(source("0"))
            caplog.clear()
            entries = await asyncio.gather(*(store.get_or_create_session(source(n)) for n in lanes))
            assert [entry.session_key for entry in entries] == [key(n) for n in lanes]
            lines: Any = store._runner._lines
            (of_this_loop,) = lines._of_loops.values()
            assert len(of_this_loop.open) == 3
    assert caplog.messages == []  # nothing had to be tried again


def test_a_store_serves_several_event_loops_at_once(empty: Server) -> None:
    store = of(empty.url())

    async def count() -> None:
        for _ in range(50):
            await store.update_session(key("1"), output_tokens=1)
        lines: Any = store._runner._lines
        await lines.close()

    async def opened() -> None:
        await store.get_or_create_session(source("1"))
        lines: Any = store._runner._lines
        await lines.close()

    asyncio.run(opened())
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(asyncio.run, count()) for _ in range(4)]:
            done.result()

    async def counted() -> int:
        entry = await store.get_session(key("1"))
        await store.close()
        return entry.output_tokens if entry else 0

    assert asyncio.run(counted()) == 200


async def test_closing_leaves_no_connection_of_the_calls_that_were_under_way(
    empty: Server,
) -> None:
    client: Any = empty.client()
    store = of(empty.url())
    await store.get_or_create_session(source("1"))
    calls = [asyncio.create_task(store.get_session(key("1"))) for _ in range(PEOPLE)]
    await asyncio.sleep(0)
    await store.close()
    for told in await asyncio.gather(*calls, return_exceptions=True):
        assert told is None or isinstance(told, SessionEntry | StoreClosed)
    await asyncio.to_thread(
        wait_until, lambda: "redisstore-lines" not in {one["name"] for one in client.client_list()}
    )
