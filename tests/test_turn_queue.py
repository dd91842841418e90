"""Waiting for a turn: in order of arrival, without polling, past the dead, and not for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from redisstore import DuplicateMessage, SessionStore, StoreConfig, TurnBusy, TurnLost
from tests.conftest import Site
from tests.entries import key, source
from tests.servers import wait_until
from tests.turns import begun, in_line

ADA = key("ada")


@pytest.fixture
def config(site: Site, namespace: str) -> StoreConfig:
    return StoreConfig(
        url=site.url, namespace=namespace, partitions=site.partitions, replica="gateway"
    )


@pytest.fixture
def store(config: StoreConfig) -> Iterator[SessionStore]:
    with SessionStore.from_url(config=config) as store:
        yield store
        assert list(store.audit()) == []


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def waiting(store: SessionStore) -> int:
    return sum(turn.waiting for turn in store.list_turns())


def line_up(
    store: SessionStore, pool: ThreadPoolExecutor, count: int, served: list[int], **more: Any
) -> list[Future[None]]:
    """Let so many turns wait, one behind the other."""

    def handle(number: int) -> None:
        with store.turn(source("ada"), f"m-{number}", **more) as turn:
            served.append(number)
            turn.end(output_tokens=1)

    futures = []
    for number in range(count):
        futures.append(pool.submit(handle, number))
        wait_until(lambda n=number: waiting(store) == n + 1, message=f"waiter {number}")  # type: ignore[misc]
    return futures


def queue_dead(store: SessionStore, count: int, replica: str = "gone") -> None:
    """Put turns in line whose processes then died."""
    for number in range(count):
        in_line(store, "ada", f"{replica}-{number}")


def test_turns_are_served_in_order_of_arrival(
    store: SessionStore, pool: ThreadPoolExecutor
) -> None:
    first, served = begun(store), list[int]()
    futures = line_up(store, pool, 8, served)
    first.end()
    for future in futures:
        future.result(timeout=30)
    assert served == list(range(8))
    entry = store.get_session(ADA)
    assert entry is not None
    assert entry.output_tokens == 8


def test_those_who_wait_go_on_when_the_turn_before_them_fails(
    store: SessionStore, pool: ThreadPoolExecutor
) -> None:
    served: list[int] = []
    failing = begun(store)
    futures = line_up(store, pool, 2, served)
    failing.__exit__(KeyError, KeyError(), None)
    for future in futures:
        future.result(timeout=30)
    assert served == [0, 1]


def test_a_reset_keeps_the_order_of_those_who_wait(
    store: SessionStore, pool: ThreadPoolExecutor
) -> None:
    first, served = begun(store), list[int]()
    futures = line_up(store, pool, 3, served)
    reset = store.reset_session(ADA)
    first.end()
    for future in futures:
        future.result(timeout=30)
    assert served == [0, 1, 2]
    entry = store.get_session(ADA)
    assert reset is not None
    assert entry is not None
    assert (entry.session_id, entry.output_tokens) == (reset.session_id, 3)


def test_those_who_wait_for_a_deleted_session_open_a_new_one(
    store: SessionStore, pool: ThreadPoolExecutor
) -> None:
    first, served = begun(store), list[int]()
    futures = line_up(store, pool, 2, served)
    store.delete_session(ADA)
    for future in futures:
        future.result(timeout=30)
    assert sorted(served) == [0, 1]
    entry = store.get_session(ADA)
    assert entry is not None
    assert entry.session_id != first.entry.session_id
    with pytest.raises(TurnLost):
        first.end()


def test_one_who_waited_long_enough_leaves_and_the_next_moves_up(
    store: SessionStore, pool: ThreadPoolExecutor
) -> None:
    first, served = begun(store), list[int]()
    impatient = pool.submit(begun, store, "ada", "impatient", wait=0.3)
    wait_until(lambda: waiting(store) == 1)
    patient = pool.submit(begun, store, "ada", "patient", wait=30)
    with pytest.raises(TurnBusy):
        impatient.result(timeout=30)
    first.end()
    patient.result(timeout=30).end()
    assert served == []
    with store.turn(source("ada"), "impatient", wait=0):
        pass


def test_a_full_queue_is_refused_at_once(config: StoreConfig, pool: ThreadPoolExecutor) -> None:
    short = config.model_copy(update={"turn_queue_limit": 2})
    with SessionStore.from_url(config=short) as store:
        first, served = begun(store), list[int]()
        futures = line_up(store, pool, 2, served)
        with pytest.raises(TurnBusy, match="too many") as busy:
            begun(store, "ada", "m-9", wait=30)
        assert busy.value.queue_full
        first.end()
        for future in futures:
            future.result(timeout=30)


def test_the_dead_do_not_keep_a_queue_full(config: StoreConfig) -> None:
    short = config.model_copy(update={"turn_queue_limit": 3})
    with SessionStore.from_url(config=short) as store:
        first = begun(store)
        queue_dead(store, 3)

        def refused() -> bool:
            try:
                begun(store, "ada", "m-1", wait=0.001)
            except TurnBusy as busy:
                return not busy.queue_full
            return False

        # The first to be refused has them called; who has not answered in two seconds is dropped.
        wait_until(refused, timeout=30, message="room in the queue")
        first.end()


def test_many_dead_in_front_cost_the_living_seconds_not_minutes(
    store: SessionStore, pool: ThreadPoolExecutor
) -> None:
    first, served = begun(store), list[int]()
    queue_dead(store, 20)
    alive = pool.submit(begun, store, "ada", "alive", wait=60)
    wait_until(lambda: waiting(store) == 21)
    first.end()
    alive.result(timeout=25).end()
    assert served == []
    assert list(store.list_turns()) == []


def test_messages_of_the_dead_can_be_delivered_again(store: SessionStore) -> None:
    first = begun(store)
    queue_dead(store, 1)

    def delivered_again() -> bool:
        try:
            begun(store, "ada", "gone-0", wait=30).end()
        except DuplicateMessage:
            return False
        return True

    assert not delivered_again()
    first.end()
    wait_until(delivered_again, message="the dead to be passed over")


def test_a_lapsed_turn_is_noticed_by_those_who_wait(
    config: StoreConfig, pool: ThreadPoolExecutor
) -> None:
    """No maintenance runs, and nobody wakes them."""
    short = config.model_copy(update={"turn_lease_ttl": 1.0})
    with SessionStore.from_url(config=short) as dying, SessionStore.from_url(config=short) as store:
        begun(dying, "ada", "m-1")
        dying._turns._keeper.close()  # as if its process had died
        alive = pool.submit(begun, store, "ada", "m-2", wait=60)
        turn = alive.result(timeout=30)
        assert turn.entry.resume_reason == "replica_lost"
        turn.end()
        begun(store, "ada", "m-1").end()


def test_a_long_turn_is_renewed_and_its_loss_is_told(config: StoreConfig) -> None:
    short = config.model_copy(update={"turn_lease_ttl": 1.0})
    told = threading.Event()
    with SessionStore.from_url(config=short) as store:
        turn = begun(store, on_lost=lambda _: told.set())
        (before,) = store.list_turns()
        wait_until(lambda: next(store.list_turns()).lapses_at > before.lapses_at)
        assert not turn.lost
        store.delete_session(ADA)
        assert told.wait(10)
        assert turn.lost
        with pytest.raises(TurnLost):
            turn.update(output_tokens=1)


def test_turns_that_wait_for_a_shared_id_are_served_in_turn(
    store: SessionStore, pool: ThreadPoolExecutor
) -> None:
    session_id = store.get_or_create_session(source("ada")).session_id
    for name in ("bob", "cay"):
        store.get_or_create_session(source(name))
        store.switch_session(key(name), session_id)
    running, together = list[str](), list[int]()

    def handle(name: str) -> None:
        with store.turn(source(name), wait=60) as turn:
            running.append(name)
            together.append(len(running))
            turn.update(output_tokens=1)
            running.remove(name)

    futures = [pool.submit(handle, name) for name in ("ada", "bob", "cay") * 4]
    for future in futures:
        future.result(timeout=60)
    assert together == [1] * 12
