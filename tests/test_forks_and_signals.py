"""What forks and the handlers of signals find: locks that are locked, and nothing that hangs."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from redisstore import SessionStore, StoreClosed, StoreConfig
from redisstore.aio.keeper import AsyncKeeper
from redisstore.calls.turn_state import TurnState
from redisstore.connect import connect
from tests.conftest import Sites
from tests.entries import key, source
from tests.forks import exit_code, locked_elsewhere, locks_in
from tests.servers import HOST, wait_until
from tests.turns import begun

ADA = key("ada")


@pytest.fixture
def config(sites: Sites, namespace: str) -> StoreConfig:
    return StoreConfig(url=sites.server("valkey-9.1").url(), namespace=namespace)


@pytest.fixture
def store(config: StoreConfig) -> Iterator[SessionStore]:
    with SessionStore.from_url(config=config) as store:
        store.get_or_create_session(source("ada"))
        yield store


def locks_of(store: SessionStore) -> list[Any]:
    turns = store._turns
    return [
        store._keeper._lock,
        turns._keeper._lock,
        turns._changed,
        turns._claims._lock,
        turns._abandons._lock,
        store._runner._closing,
        store._runner._waits._lock,
    ]


def locks_of_cluster(client: Any) -> list[Any]:
    pools = [node.redis_connection.connection_pool for node in client.get_nodes()]
    return locks_in(client, client.nodes_manager, *pools)


def test_a_fork_that_inherits_every_lock_locked_goes_on_and_ends(store: SessionStore) -> None:
    running = begun(store)
    hold = store.hold_process(ADA, "cron")
    hold.__enter__()

    def child() -> bool:
        kept = store._keeper.drop(hold._hold, hold)
        store._turns.forget(running._state)
        nothing = store._turns.counts == (0, 0)
        with store.turn(source("bob")):
            one = store._turns.counts == (1, 0)
        store.drain(grace=0)
        store.close()
        return not kept and nothing and one

    with locked_elsewhere(locks_of(store)):
        assert exit_code(child) == 0
    assert store._turns.counts == (1, 0)
    hold.__exit__(None, None, None)
    running.end()
    assert store.list_holds(ADA) == {}


def test_a_fork_of_a_cluster_inherits_neither_its_locks_nor_its_busy_connections(
    sites: Sites, namespace: str
) -> None:
    config = StoreConfig(
        url=sites.cluster().url(), namespace=namespace, max_connections=1, deadline=5
    )
    with SessionStore.from_url(config=config) as store:
        store.get_or_create_session(source("ada"))
        runner = store._runner
        runner._waits.wait("woken by nobody", 0.01)

        def child() -> bool:
            kept = store.get_session(ADA) is not None
            with store.turn(source("bob")):
                runner._waits.wait("woken by nobody", 0.01)
            store.close()
            gc.collect()
            return kept

        clients: list[Any] = [runner.connection.client, runner._waits._held.client]
        with locked_elsewhere([lock for one in clients for lock in locks_of_cluster(one)]):
            assert exit_code(child) == 0
        assert [runner.connection.client, runner._waits._held.client] == clients
        with store.turn(source("bob")):
            assert store.get_session(ADA) is not None


def test_a_fork_lets_go_of_connections_to_sentinels_whose_locks_it_inherits() -> None:
    connection = connect(StoreConfig(url=f"redis+sentinel://{HOST}:1/master"))
    parents: Any = connection.client
    sentinels = parents.connection_pool.sentinel_manager.sentinels
    pools = [one.connection_pool for one in sentinels]
    inherited = [weakref.ref(one) for one in (parents, *sentinels)]
    locks = locks_in(parents.connection_pool, *pools)
    del parents, sentinels, pools

    def child() -> bool:
        gc.collect()
        return connection.held.made is None and not any(one() for one in inherited)

    with locked_elsewhere(locks):
        assert exit_code(child) == 0
    assert connection.held.made is inherited[0]()
    connection.held.close()


def test_a_forked_child_is_another_process_of_the_same_name(store: SessionStore) -> None:
    parents = store._opening.context

    def child() -> bool:
        own = store._opening.context

        def is_listed() -> bool:
            return own.incarnation in [one.incarnation for one in store.list_replicas()]

        with store.maintenance():
            wait_until(is_listed)
        return own.space == parents.space and own.incarnation != parents.incarnation

    assert exit_code(child) == 0
    assert store._opening.context is parents


def test_a_handler_of_a_signal_may_close_what_it_has_interrupted(store: SessionStore) -> None:
    begun(store)
    store.hold_process(ADA, "cron").__enter__()
    closed = threading.Event()

    def interrupted() -> None:
        with ExitStack() as stack:
            for lock in locks_of(store):
                stack.enter_context(lock)
            store.close()  # as a handler does, in the thread that has the locks
            closed.set()

    threading.Thread(target=interrupted, daemon=True).start()
    assert closed.wait(20)


def test_a_closed_keeper_keeps_nothing_more(store: SessionStore) -> None:
    hold = store.hold_process(ADA, "cron")
    store.close()
    store._keeper.keep(hold._hold, hold)
    assert store._keeper._thread is None
    with pytest.raises(StoreClosed):
        hold.__enter__()


def test_a_turn_that_two_find_lost_at_once_is_told_once() -> None:
    together = threading.Barrier(2, timeout=20)
    told: list[object] = []

    class Turn(TurnState):
        @property
        def ended(self) -> bool:
            together.wait()
            return False

        @ended.setter
        def ended(self, value: bool) -> None: ...

        def __repr__(self) -> str:
            return "a turn"

    wanted: Any = None
    turn = Turn(wanted, 30.0, lambda: told.append("lost"))
    threads = [threading.Thread(target=turn.tell_lost) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["lost"]


async def test_whoever_is_cancelled_while_closing_a_keeper_is_cancelled() -> None:
    renewing = asyncio.Event()

    async def renew(_: object) -> dict[str, None]:
        renewing.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            raise
        return {}

    class Kept:
        def renewed(self, *_: object) -> None: ...
        def not_renewed(self) -> None: ...

    keeper: Any = AsyncKeeper("tests", renew, 0.01)
    keeper.keep("key", Kept())
    await renewing.wait()
    closing = asyncio.create_task(keeper.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
