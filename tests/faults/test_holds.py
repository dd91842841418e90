"""Process holds that renew themselves, while their server and their sessions come and go."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from redisstore import (
    AsyncSessionStore,
    NoSuchSession,
    SessionResetPolicy,
    SessionStore,
    StoreConfig,
)
from tests.processes.lanes import key_of, source_of
from tests.servers import BACKEND_NAMES, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redisstore import AsyncProcessHold, ProcessHold
    from tests.servers import FaultyProxy, Server

KEY = key_of("1")
pytestmark = pytest.mark.parametrize("server", BACKEND_NAMES[:1], indirect=True)


@pytest.fixture
def config(proxy: FaultyProxy, configured: Callable[..., StoreConfig]) -> StoreConfig:
    return configured(
        proxy.url(),
        process_hold_ttl=1,
        default_reset_policy=SessionResetPolicy(mode="idle", idle_minutes=1),
    )


@pytest.fixture
def store(config: StoreConfig) -> Iterator[SessionStore]:
    with SessionStore.from_url(config=config) as opened:
        opened.get_or_create_session(source_of("1"))
        yield opened


@pytest.fixture
def watcher(server: Server, config: StoreConfig) -> Iterator[SessionStore]:
    """Another replica, whose way to the server is undisturbed."""
    with SessionStore.from_url(config=config.model_copy(update={"url": server.url()})) as opened:
        yield opened
        assert list(opened.audit()) == []


def test_a_thread_renews_a_hold_until_its_block_ends(
    store: SessionStore, watcher: SessionStore
) -> None:
    with store.hold_process(KEY, "p") as hold:
        _wait_for_renewals(watcher, "p")
        assert hold.lapses_at is not None
        assert hold.lapses_at > datetime.now(UTC) - timedelta(seconds=1)
        report = watcher.prune_old_entries(before=datetime.now(UTC) + timedelta(days=1))
        assert (report.removed, report.kept["active"]) == (0, 1)
    assert watcher.list_holds(KEY) == {}
    assert watcher.count().active == 0


async def test_a_task_renews_a_hold_until_its_block_ends(
    config: StoreConfig, store: SessionStore, watcher: SessionStore
) -> None:
    async with AsyncSessionStore.from_url(config=config) as concurrent:
        async with concurrent.hold_process(KEY, "p"):
            await asyncio.to_thread(_wait_for_renewals, watcher, "p")
        assert watcher.list_holds(KEY) == {}
        assert store.count().active == 0


def test_a_session_is_held_until_the_last_of_its_processes_ends(
    store: SessionStore, watcher: SessionStore
) -> None:
    with store.hold_process(KEY, "first"):
        with store.hold_process(KEY, "second"):
            assert set(watcher.list_holds(KEY)) == {"first", "second"}
        assert set(watcher.list_holds(KEY)) == {"first"}
        assert watcher.count().active == 1
    assert watcher.count().active == 0


def test_the_same_hold_taken_twice_ends_with_its_outer_block(
    store: SessionStore, watcher: SessionStore
) -> None:
    with store.hold_process(KEY, "p"):
        with store.hold_process(KEY, "p"):
            assert set(watcher.list_holds(KEY)) == {"p"}
        _wait_for_renewals(watcher, "p")
    assert watcher.list_holds(KEY) == {}


def test_a_hold_on_a_deleted_session_is_lost_and_says_so(
    store: SessionStore, watcher: SessionStore
) -> None:
    told: list[ProcessHold] = []
    with store.hold_process(KEY, "p", on_lost=told.append) as hold:
        assert watcher.delete_session(KEY)
        wait_until(lambda: hold.lost)
        wait_until(lambda: told)
    assert told == [hold]
    assert watcher.list_holds(KEY) == {}


async def test_a_task_learns_of_a_lost_hold_too(
    config: StoreConfig, store: SessionStore, watcher: SessionStore
) -> None:
    lost = asyncio.Event()
    told: list[AsyncProcessHold] = []

    def on_lost(hold: AsyncProcessHold) -> None:
        told.append(hold)
        lost.set()

    async with AsyncSessionStore.from_url(config=config) as concurrent:
        async with concurrent.hold_process(KEY, "p", on_lost=on_lost) as hold:
            assert store.delete_session(KEY)
            async with asyncio.timeout(10):
                await lost.wait()
        assert (told, hold.lost) == ([hold], True)
        assert watcher.list_holds(KEY) == {}


def test_a_callback_that_raises_stops_no_other_renewal(
    store: SessionStore, watcher: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.get_or_create_session(source_of("2"))

    def fail(_: ProcessHold) -> None:
        raise RuntimeError("a fault of the gateway")

    with store.hold_process(key_of("2"), "q", on_lost=fail), store.hold_process(KEY, "p"):
        watcher.delete_session(key_of("2"))
        wait_until(lambda: "a fault of the gateway" in caplog.text)
        _wait_for_renewals(watcher, "p")


def test_renewal_goes_on_after_an_outage_longer_than_the_hold(
    store: SessionStore, watcher: SessionStore, proxy: FaultyProxy
) -> None:
    with store.hold_process(KEY, "p") as hold:
        proxy.hang()
        wait_until(lambda: not watcher.list_holds(KEY), message="the hold to lapse")
        proxy.pass_through()
        wait_until(lambda: watcher.list_holds(KEY), message="the hold to be taken again")
        assert not hold.lost
        _wait_for_renewals(watcher, "p")
    assert watcher.list_holds(KEY) == {}


async def test_a_task_renews_after_such_an_outage_too(
    config: StoreConfig, store: SessionStore, watcher: SessionStore, proxy: FaultyProxy
) -> None:
    assert store.count_sessions() == 1
    async with (
        AsyncSessionStore.from_url(config=config) as concurrent,
        concurrent.hold_process(KEY, "p") as hold,
    ):
        proxy.hang()
        await asyncio.to_thread(wait_until, lambda: not watcher.list_holds(KEY))
        proxy.pass_through()
        await asyncio.to_thread(wait_until, lambda: watcher.list_holds(KEY))
        assert not hold.lost


def test_a_hold_on_an_unknown_session_is_refused(
    store: SessionStore, watcher: SessionStore
) -> None:
    with pytest.raises(NoSuchSession), store.hold_process(key_of("none"), "p"):
        pytest.fail("the block of a refused hold must not run")
    assert watcher.count().active == 0


def test_a_closed_store_renews_no_more(config: StoreConfig, watcher: SessionStore) -> None:
    with SessionStore.from_url(config=config) as store:
        store.get_or_create_session(source_of("1"))
        store.hold_process(KEY, "p").__enter__()
        _wait_for_renewals(watcher, "p")
    wait_until(lambda: not watcher.list_holds(KEY))


def _wait_for_renewals(watcher: SessionStore, process_id: str) -> None:
    """Wait until the hold was renewed twice more."""
    for _ in range(2):
        known = watcher.list_holds(KEY)[process_id]
        wait_until(
            lambda known=known: watcher.list_holds(KEY)[process_id] > known,  # type: ignore[misc]
            message=f"{process_id} to be renewed",
        )
