"""A drain while Redis is away: each turn is cut and told all the same, and nobody waits in vain."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from redisstore import AsyncSessionStore, RedisStoreError, SessionStore, StoreUnavailable
from tests.processes.lanes import key_of, source_of
from tests.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisstore import StoreConfig
    from tests.servers import FaultyProxy

WAITERS = 3
GRACE = 0.01


def test_a_drain_of_threads_goes_on_though_nobody_can_be_sent_away(
    proxy: FaultyProxy, configured: Callable[..., StoreConfig], caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[object] = []
    with (
        SessionStore.from_url(config=configured(proxy.url())) as store,
        ThreadPoolExecutor(WAITERS) as threads,
    ):
        running: Any = store.turn(source_of("1"), on_lost=lost.append).__enter__()
        enter: Any = [store.turn(source_of("1"), f"m-{n}", wait=60) for n in range(WAITERS)]
        waiting = [threads.submit(one.__enter__) for one in enter]
        wait_until(lambda: next(store.list_turns()).waiting == WAITERS)
        proxy.hang()
        drained = store.drain(grace=GRACE)
        proxy.pass_through()
        assert (drained.sent_away, drained.cut) == (0, (key_of("1"),))
        assert lost == [running]
        assert running.lost
        for one in waiting:
            with pytest.raises(RedisStoreError):
                one.result(timeout=60)
    # Only the first has waited for a server that does not answer.
    assert sum("was not given up" in message for message in caplog.messages) == 1


async def test_a_drain_of_tasks_goes_on_though_nobody_can_be_sent_away(
    proxy: FaultyProxy, configured: Callable[..., StoreConfig]
) -> None:
    lost: list[object] = []
    config = configured(proxy.url())
    with SessionStore.from_url(config=config) as other:
        store = AsyncSessionStore.from_url(config=config)
        running: Any = await store.turn(source_of("1"), on_lost=lost.append).__aenter__()
        turns = [store.turn(source_of("1"), f"m-{n}", wait=60) for n in range(WAITERS)]
        waiting = [asyncio.create_task(turn.__aenter__()) for turn in turns]
        await asyncio.to_thread(wait_until, lambda: next(other.list_turns()).waiting == WAITERS)
        proxy.hang()
        drained = await store.drain(grace=GRACE)
        proxy.pass_through()
        assert (drained.sent_away, drained.cut) == (0, (key_of("1"),))
        assert lost == [running]
        for told in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(told, RedisStoreError)
        await store.close()


def test_begins_that_fail_have_one_thread_that_gives_them_up_and_closing_waits_for_it(
    proxy: FaultyProxy, configured: Callable[..., StoreConfig]
) -> None:
    begins = 6

    def begin(number: int) -> None:
        with pytest.raises(StoreUnavailable):
            store.turn(source_of(str(number))).__enter__()

    def aside() -> int:
        return sum("abandon" in one.name for one in threading.enumerate())

    store = SessionStore.from_url(config=configured(proxy.url()))
    store.count_sessions()
    with ThreadPoolExecutor(begins) as threads:
        proxy.hang()
        list(threads.map(begin, range(begins)))
        assert aside() == 1
    proxy.pass_through()
    store.close()
    assert aside() == 0


async def test_the_failure_of_an_end_whose_caller_was_cancelled_is_logged(
    proxy: FaultyProxy, configured: Callable[..., StoreConfig], caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncSessionStore.from_url(config=configured(proxy.url())) as store:
        turn: Any = await store.turn(source_of("1")).__aenter__()
        proxy.hang()
        ending = asyncio.create_task(turn.end(output_tokens=5))
        await asyncio.sleep(0.01)
        ending.cancel()
        await asyncio.wait([ending])
        await asyncio.wait(store._turns._errands)
        proxy.pass_through()
        assert "what nobody waited for any more has failed" in caplog.text
        caplog.clear()
        proxy.hang()
        with pytest.raises(StoreUnavailable):
            await turn.end(output_tokens=5)
        proxy.pass_through()
        assert "nobody waited" not in caplog.text
        await turn.end(output_tokens=5)
