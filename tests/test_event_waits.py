"""Readers that wait for events: they see what comes, and end when the store is closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from redisstore import AsyncSessionStore, Event, SessionStore, StoreConfig
from redisstore.calls import events
from redisstore.calls.call import Ask, Pause
from redisstore.calls.layout import Opening
from tests.conftest import Sites
from tests.entries import source
from tests.turns import NOON

READERS = pytest.mark.parametrize("how", [{}, {"group": "agents"}], ids=["onlooker", "group"])


@pytest.fixture
def config(sites: Sites, namespace: str) -> StoreConfig:
    return StoreConfig(url=sites.get("valkey-9.1").url, namespace=namespace, partitions=4)


@contextmanager
def happening(config: StoreConfig) -> Iterator[None]:
    """Let sessions be made while a block runs, one after the other."""
    over = threading.Event()

    def make() -> None:
        with SessionStore.from_url(config=config) as store:
            for number in count():
                store.get_or_create_session(source(f"later {number}"))
                if over.wait(0.01):
                    return

    maker = threading.Thread(target=make)
    maker.start()
    try:
        yield
    finally:
        over.set()
        maker.join()


@READERS
def test_what_happens_later_is_seen(config: StoreConfig, how: dict[str, str]) -> None:
    with SessionStore.from_url(config=config) as store:
        store.get_or_create_session(source("earlier"))
        with happening(config):
            seen = next(store.events(**how))  # type: ignore[arg-type]
        assert "later" in str(seen.session_key)


@READERS
def test_a_task_sees_what_happens_later(config: StoreConfig, how: dict[str, str]) -> None:
    async def see() -> Event:
        async with AsyncSessionStore.from_url(config=config) as store:
            await store.get_or_create_session(source("earlier"))
            with happening(config):
                return await anext(aiter(store.events(**how)))  # type: ignore[arg-type]

    assert "later" in str(asyncio.run(see()).session_key)


@READERS
def test_closing_the_store_ends_whoever_waits(config: StoreConfig, how: dict[str, str]) -> None:
    store = SessionStore.from_url(config=config)
    store.get_or_create_session(source("1"))
    began = threading.Event()
    seen: list[Event] = []

    def read() -> None:
        for event in store.events(since="oldest", **how):  # type: ignore[arg-type]
            seen.append(event)
            began.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert began.wait(30)
    store.close()
    reader.join(30)
    assert not reader.is_alive()
    assert [event.kind for event in seen] == ["created"]


@READERS
def test_closing_the_store_ends_a_task_that_waits(config: StoreConfig, how: dict[str, str]) -> None:
    async def read(store: AsyncSessionStore, began: asyncio.Event) -> int:
        seen = 0
        async for _ in store.events(since="oldest", **how):  # type: ignore[arg-type]
            seen += 1
            began.set()
        return seen

    async def closed() -> int:
        store, began = AsyncSessionStore.from_url(config=config), asyncio.Event()
        await store.get_or_create_session(source("1"))
        reading = asyncio.create_task(read(store, began))
        await began.wait()
        await store.close()
        return await reading

    assert asyncio.run(closed()) == 1


async def _first(store: AsyncSessionStore) -> Event:
    return await anext(aiter(store.events()))


def test_a_task_that_waits_can_be_cancelled(config: StoreConfig) -> None:
    async def cancelled() -> bool:
        async with AsyncSessionStore.from_url(config=config) as store:
            await store.count()
            waiting = asyncio.create_task(_first(store))
            await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.wait([waiting])
            return waiting.cancelled() and await store.count_sessions() == 0  # it is of use still

    assert asyncio.run(cancelled())


def _steps(idle_timeout: float | None, answer: Callable[[int], list[Event]]) -> Iterator[object]:
    """What a reader of one partition asks for, each look answered with these events."""
    opening = Opening(StoreConfig(), clustered=False)
    opening.found(1)
    sweep = events.sweep(opening, events.wanted("oldest", idle_timeout, None, None, 60))
    step: object = next(sweep)
    looks = 0
    try:
        while True:
            yield step
            if isinstance(step, Ask):
                looks += 1
                step = sweep.send([answer(looks)])
            else:
                step = next(sweep)
    except StopIteration:
        return


def test_pauses_grow_while_nothing_comes_and_end_when_it_was_waited_for_long_enough() -> None:
    pauses = [step.seconds for step in _steps(5, lambda _: []) if isinstance(step, Pause)]
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, 1, 0.45])


def test_an_event_makes_the_pauses_short_again() -> None:
    event = Event("0-1763810553123-0000000000", 0, "created", NOON)
    looks = _steps(1, lambda look: [event] if look == 4 else [])
    pauses = [step.seconds for step in looks if isinstance(step, Pause)]
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.05, 0.1, 0.2, 0.4, 0.25])
