"""The maintenance of tasks: what is cancelled in it, and around it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from redisstore import AsyncSessionStore, ExpiredSession, SessionResetPolicy, StoreConfig
from tests.conftest import Sites
from tests.entries import aged, key

ADA, BOB = key("ada"), key("bob")


@pytest.fixture(params=["memory", "valkey-9.1"])
def config(request: pytest.FixtureRequest, sites: Sites, namespace: str) -> StoreConfig:
    return StoreConfig(
        url=sites.get(request.param).url,
        namespace=namespace,
        replica="one",
        default_reset_policy=SessionResetPolicy(mode="idle", idle_minutes=60),
    )


async def put(store: AsyncSessionStore, *names: str) -> None:
    entries = [aged(name, timedelta(hours=2)) for name in names]
    async for _, verdict in store.import_sessions(entries):
        assert verdict == "created"


async def test_a_stop_that_is_cancelled_leaves_no_task_behind(config: StoreConfig) -> None:
    begun = asyncio.Event()
    before = asyncio.all_tasks()

    async def close(_: ExpiredSession) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with AsyncSessionStore.from_url(config=config) as store:
        await put(store, "ada")
        maintenance = store.maintenance(close)
        maintenance.start()
        await begun.wait()
        stopping = asyncio.create_task(maintenance.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        left = asyncio.all_tasks() - before
        if left:
            await asyncio.wait(left, timeout=10)
        assert all(task.done() for task in left)
        entry = await store.get_session(ADA)
        assert entry is not None
        assert not entry.expiry_finalized


async def test_a_callback_in_which_something_was_cancelled_is_a_try_that_failed(
    config: StoreConfig,
) -> None:
    told: list[str] = []
    both = asyncio.Event()

    async def close(expired: ExpiredSession) -> None:
        told.append(expired.entry.session_key)
        if len(told) == 2:
            both.set()
        if expired.entry.session_key == ADA:
            gone = asyncio.get_running_loop().create_future()
            gone.cancel()
            await gone

    async with AsyncSessionStore.from_url(config=config) as store:
        await put(store, "ada", "bob")
        async with store.maintenance(close), asyncio.timeout(10):
            await both.wait()
        assert set(told) == {ADA, BOB}
        assert [(await store.get_session(one)).expiry_finalized for one in (ADA, BOB)] == [  # type: ignore[union-attr]
            False,
            True,
        ]


async def test_maintenance_is_started_once(config: StoreConfig) -> None:
    async with AsyncSessionStore.from_url(config=config) as store:
        maintenance, never = store.maintenance(), store.maintenance()
        maintenance.start()
        running = asyncio.all_tasks()
        with pytest.raises(RuntimeError, match="started once: make another"):
            maintenance.start()
        assert asyncio.all_tasks() <= running
        for stopped in (maintenance, never):
            await stopped.stop()
            with pytest.raises(RuntimeError, match="started once: make another"):
                stopped.start()
        assert [replica async for replica in store.list_replicas()] == []
