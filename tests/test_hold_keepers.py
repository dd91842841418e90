"""What the keepers of process holds do when a block ends, a session returns, or a process forks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from redisstore import AsyncSessionStore, SessionStore, StoreConfig
from redisstore.calls.holds import Hold
from tests.conftest import Sites
from tests.entries import key, source
from tests.servers import wait_until

ADA = key("ada")


@pytest.fixture
def config(sites: Sites, namespace: str) -> StoreConfig:
    return StoreConfig(
        url=sites.server("valkey-9.1").url(), namespace=namespace, process_hold_ttl=1
    )


@pytest.fixture
def store(config: StoreConfig) -> Iterator[SessionStore]:
    with SessionStore.from_url(config=config) as store:
        store.get_or_create_session(source("ada"))
        yield store


async def test_a_block_that_is_cancelled_as_it_ends_is_not_renewed_for_ever(
    config: StoreConfig, store: SessionStore
) -> None:
    renewing, gate = asyncio.Event(), asyncio.Event()
    async with AsyncSessionStore.from_url(config=config) as slow:
        keeper, renew = slow._keeper, slow._keeper._renew

        async def held_up(holds: Sequence[Hold]) -> Mapping[Hold, datetime | None]:
            renewing.set()
            await gate.wait()
            return await renew(holds)

        keeper._renew = held_up

        async def block() -> None:
            async with slow.hold_process(ADA, "cron"):
                await renewing.wait()

        task = asyncio.create_task(block())
        await renewing.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        assert keeper._held == {}
        await asyncio.to_thread(
            wait_until, lambda: not store.list_holds(ADA), timeout=5, message="the hold lapses"
        )


def test_a_lost_hold_does_not_pin_the_next_conversation(store: SessionStore) -> None:
    with store.hold_process(ADA, "cron") as hold:
        store.delete_session(ADA)
        wait_until(lambda: hold.lost, timeout=5, message="the renewal finds it gone")
        store.get_or_create_session(source("ada"))
        assert store._keeper._held == {}
        assert store.list_holds(ADA) == {}


def test_the_thread_ends_with_the_last_hold_and_comes_back_with_the_next(
    store: SessionStore,
) -> None:
    with store.hold_process(ADA, "cron"):
        assert store._keeper._thread is not None
    wait_until(lambda: store._keeper._thread is None, timeout=5, message="the thread ends")
    with store.hold_process(ADA, "cron"):
        assert store._keeper._thread is not None


def test_an_error_that_nobody_foresaw_stops_no_renewal(
    store: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    keeper, renew = store._keeper, store._keeper._renew
    failed: list[bool] = []

    def fail_once(holds: Sequence[Hold]) -> Mapping[Hold, datetime | None]:
        if not failed:
            failed.append(True)
            raise RuntimeError("unforeseen")
        return renew(holds)

    keeper._renew = fail_once
    with store.hold_process(ADA, "cron") as hold:
        taken = hold.lapses_at
        assert taken is not None
        wait_until(lambda: hold.lapses_at != taken, timeout=5, message="it is renewed after all")
    assert "unforeseen" in caplog.text


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_renews_the_holds_that_it_takes(store: SessionStore) -> None:
    with store.hold_process(ADA, "parent"):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, _held_by_a_fork(store).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 100) == b"renewed"
        assert set(store.list_holds(ADA)) == {"parent"}


def _held_by_a_fork(store: SessionStore) -> str:
    try:
        with store.hold_process(ADA, "child") as hold:
            first: Any = hold.lapses_at
            wait_until(lambda: hold.lapses_at != first, timeout=5, message="it is renewed")
    except Exception as error:  # noqa: BLE001 - a child of a test can only tell
        return repr(error)[:100]
    return "renewed"
