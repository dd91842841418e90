"""Who reads events comes to their end as the store is closed, also while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from redisstore import AsyncSessionStore, SessionStore, StoreConfig
from tests.conftest import Sites
from tests.entries import key, source
from tests.servers import FaultyProxy, wait_until

ADA = key("ada")


@pytest.fixture
def cut_off(sites: Sites, namespace: str) -> Iterator[tuple[StoreConfig, Callable[[], None]]]:
    """A store behind a proxy, and what ends the proxy."""
    with FaultyProxy(sites.server("valkey-9.1").address) as proxy:
        yield StoreConfig(url=proxy.url(), namespace=namespace, deadline=300), proxy.close


def test_a_thread_that_reads_events_comes_to_their_end_though_redis_is_away(
    cut_off: tuple[StoreConfig, Callable[[], None]], caplog: pytest.LogCaptureFixture
) -> None:
    config, cut = cut_off
    caplog.set_level("DEBUG")
    with SessionStore.from_url(config=config) as store, ThreadPoolExecutor() as pool:
        store.get_or_create_session(source("ada"))
        events = store.events(since="oldest")
        assert next(events).session_key == ADA
        cut()
        rest = pool.submit(list[object], events)
        wait_until(lambda: "trying again" in caplog.text)
        store.close()
        assert rest.result(30) == []


async def test_a_task_that_reads_events_comes_to_their_end_though_redis_is_away(
    cut_off: tuple[StoreConfig, Callable[[], None]], caplog: pytest.LogCaptureFixture
) -> None:
    config, cut = cut_off
    caplog.set_level("DEBUG")
    store = AsyncSessionStore.from_url(config=config)
    await store.get_or_create_session(source("ada"))
    events = store.events(since="oldest")
    assert (await anext(events)).session_key == ADA
    cut()

    async def rest() -> list[object]:
        return [event async for event in events]

    reading = asyncio.create_task(rest())
    await asyncio.to_thread(wait_until, lambda: "trying again" in caplog.text)
    await store.close()
    async with asyncio.timeout(30):
        assert await reading == []
