"""Turns of tasks: cancelled at any point, they hold nobody up; and a store that drains."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from redisstore import (
    AsyncSessionStore,
    DuplicateMessage,
    ReplicaDraining,
    SessionStore,
    StoreConfig,
    TurnLost,
)
from tests.conftest import Sites
from tests.entries import key, source
from tests.servers import BACKEND_NAMES, wait_until
from tests.turns import begun

ADA = key("ada")


@pytest.fixture(params=[*BACKEND_NAMES, "memory", "cluster"])
def config(request: pytest.FixtureRequest, sites: Sites, namespace: str) -> StoreConfig:
    site = sites.get(request.param)
    return StoreConfig(
        url=site.url, namespace=namespace, partitions=site.partitions, replica="gateway"
    )


@pytest.fixture
async def store(config: StoreConfig) -> AsyncIterator[AsyncSessionStore]:
    async with AsyncSessionStore.from_url(config=config) as store:
        yield store
        assert [fault async for fault in store.audit()] == []


async def eventually(store: AsyncSessionStore, waiting: int, running: int = 1) -> None:
    """Wait until so many turns run and wait."""
    async with asyncio.timeout(20):
        while True:
            turns = [turn async for turn in store.list_turns()]
            if (len(turns), sum(turn.waiting for turn in turns)) == (running, waiting):
                return
            await asyncio.sleep(0.01)


async def handle(store: AsyncSessionStore, message_id: str, served: list[str]) -> None:
    async with store.turn(source("ada"), message_id) as turn:
        served.append(message_id)
        await turn.end(output_tokens=1)


async def test_tasks_are_served_in_order_of_arrival(store: AsyncSessionStore) -> None:
    served: list[str] = []
    async with store.turn(source("ada")):
        tasks = []
        for number in range(8):
            tasks.append(asyncio.create_task(handle(store, f"m-{number}", served)))
            await eventually(store, number + 1)
    await asyncio.gather(*tasks)
    assert served == [f"m-{number}" for number in range(8)]


async def test_a_cancelled_wait_leaves_the_line(store: AsyncSessionStore) -> None:
    served: list[str] = []
    async with store.turn(source("ada")):
        cancelled = asyncio.create_task(handle(store, "m-1", served))
        await eventually(store, 1)
        patient = asyncio.create_task(handle(store, "m-2", served))
        await eventually(store, 2)
        cancelled.cancel()
        await eventually(store, 1)
    await patient
    assert served == ["m-2"]
    await handle(store, "m-1", served)


async def test_a_turn_cancelled_in_the_middle_gives_its_message_up(
    store: AsyncSessionStore,
) -> None:
    begun = asyncio.Event()

    async def think() -> None:
        async with store.turn(source("ada"), "m-1"):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(think())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    served: list[str] = []
    await handle(store, "m-1", served)
    assert served == ["m-1"]


async def test_begins_cancelled_at_any_moment_hold_nobody_up(store: AsyncSessionStore) -> None:
    await store.get_or_create_session(source("ada"))
    for steps in range(12):
        task = asyncio.create_task(handle(store, f"cut-{steps}", []))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert outcome is None or isinstance(outcome, asyncio.CancelledError)
        async with store.turn(source("ada"), f"next-{steps}", wait=20):
            pass
    await eventually(store, 0, running=0)


async def test_an_end_that_is_cancelled_is_carried_out_all_the_same(
    store: AsyncSessionStore,
) -> None:
    for steps in range(6):
        turn = await store.turn(source("ada"), f"m-{steps}").__aenter__()
        task = asyncio.create_task(turn.end(output_tokens=1))
        await asyncio.sleep(0)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await eventually(store, 0, running=0)
        with pytest.raises(DuplicateMessage):
            await store.turn(source("ada"), f"m-{steps}").__aenter__()
    entry = await store.get_session(ADA)
    assert entry is not None
    assert entry.output_tokens == 6


async def test_a_turn_that_waits_is_not_entered_by_another_task(store: AsyncSessionStore) -> None:
    first, turn = store.turn(source("ada")), store.turn(source("ada"), wait=60)

    async def wait() -> None:
        async with turn:
            await turn.end(output_tokens=1)

    await first.__aenter__()
    waiting = asyncio.create_task(wait())
    await eventually(store, 1)
    with pytest.raises(RuntimeError, match="entered once"):
        await turn.__aenter__()
    await first.end()
    await waiting
    assert turn.entry.output_tokens == 1
    await eventually(store, 0, running=0)


@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_a_turn_that_waits_is_not_entered_by_another_thread(
    backend: str, sites: Sites, namespace: str
) -> None:
    config = StoreConfig(url=sites.get(backend).url, namespace=namespace)
    with SessionStore.from_url(config=config) as store:
        first, turn = begun(store), store.turn(source("ada"), wait=60)

        def handle() -> None:
            with turn:
                turn.end(output_tokens=1)

        thread = threading.Thread(target=handle)
        thread.start()
        wait_until(lambda: [running.waiting for running in store.list_turns()] == [1])
        with pytest.raises(RuntimeError, match="entered once"):
            turn.__enter__()
        first.end()
        thread.join()
        assert turn.entry.output_tokens == 1
        assert list(store.list_turns()) == []


async def test_a_draining_store_finishes_sends_away_and_cuts(store: AsyncSessionStore) -> None:
    may_end = asyncio.Event()

    async def slow(name: str, *, until: asyncio.Event) -> None:
        async with store.turn(source(name), f"m-{name}"):
            await until.wait()

    finishing = asyncio.create_task(slow("ada", until=may_end))
    stuck = asyncio.create_task(slow("bob", until=asyncio.Event()))
    await eventually(store, 0, running=2)
    waiting = asyncio.create_task(handle(store, "m-9", []))
    await eventually(store, 1, running=2)

    draining = asyncio.create_task(store.drain(grace=0.5))
    with pytest.raises(ReplicaDraining):
        await waiting
    may_end.set()
    drained = await draining
    await finishing
    assert (drained.finished, drained.sent_away, drained.cut) == (1, 1, (key("bob"),))
    with pytest.raises(ReplicaDraining):
        await store.turn(source("cay")).__aenter__()
    bob = await store.get_session(key("bob"))
    assert bob is not None
    assert bob.resume_reason == "restart_timeout"
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)


@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_a_draining_store_of_threads_does_the_same(
    backend: str, sites: Sites, namespace: str
) -> None:
    config = StoreConfig(url=sites.get(backend).url, namespace=namespace, replica="gateway")
    with SessionStore.from_url(config=config) as store, SessionStore.from_url(config=config) as new:
        stuck = begun(store, "bob", "m-1")
        drained = store.drain(grace=0.05)
        assert drained.cut == (key("bob"),)
        assert stuck.lost
        with pytest.raises(TurnLost):
            stuck.end(output_tokens=1)
        with pytest.raises(ReplicaDraining):
            begun(store, "cay")
        with new.turn(source("bob"), "m-1") as again:
            assert again.entry.resume_reason == "restart_timeout"
        wait_until(lambda: list(new.list_turns()) == [])
        assert list(new.audit()) == []


@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_a_drain_without_grace_leaves_no_turn_behind_that_began_just_then(
    backend: str, sites: Sites, namespace: str
) -> None:
    config = StoreConfig(url=sites.get(backend).url, namespace=namespace, replica="gateway")

    def begin_until_told(store: SessionStore, lane: int) -> None:
        for number in itertools.count():
            try:
                with suppress(TurnLost), store.turn(source(f"{lane}-{number}")):
                    pass
            except ReplicaDraining:
                return

    for _ in range(3):
        with SessionStore.from_url(config=config) as store, ThreadPoolExecutor(4) as pool:
            beginners = [pool.submit(begin_until_told, store, lane) for lane in range(4)]
            wait_until(store.has_any_sessions)
            store.drain(grace=0)
            for beginner in beginners:
                beginner.result()
            assert list(store.list_turns()) == []
            assert list(store.audit()) == []
