"""Maintenance jobs: done by one at a time, and by the next when that one dies."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from redisstore import SessionStore, StoreConfig
from redisstore.calls import jobs
from redisstore.calls.call import Ask, Context, Found, one
from redisstore.calls.jobs import Job, Offer, Worker
from redisstore.fields import to_ms
from tests.conftest import Site
from tests.entries import DAY, aged, put
from tests.turns import NOON, ClockedStores, direct_client

LEASE = timedelta(seconds=30)
"""The default lease of a job."""
HOUR = timedelta(hours=1)
MS = timedelta(milliseconds=1)


@pytest.fixture
def stores(site: Site, namespace: str) -> Iterator[ClockedStores]:
    """Both faces carry out the same steps; one does, where they go on inside of one another."""
    with ExitStack() as opened, direct_client(site) as client:

        def open_one(**settings: object) -> SessionStore:
            own = {"url": site.url, "namespace": namespace, "partitions": site.partitions}
            config = StoreConfig.model_validate({**own, **settings})
            return opened.enter_context(SessionStore.from_url(config=config))

        yield ClockedStores(open_one, site, namespace, client)


class Hands:
    """A replica that does a job of some steps; what it does at each is told to the test."""

    def __init__(
        self,
        stores: ClockedStores,
        replica: str,
        at_step: Callable[[int], object] = lambda _: None,
        steps: int = 3,
    ) -> None:
        self.store: Any = stores.open(replica=replica)
        self.job = Job("sweeping", 3600.0, self._work)
        self.begun = 0
        self.stopping = False
        self._steps, self._at_step = steps, at_step
        self._clock = stores.clock
        self._worker = Worker(self.job, lambda: self.stopping, self.seconds)

    def seconds(self) -> float:
        """What its own clock says; the server's, unless the test stops this process."""
        return to_ms(self._clock.now()) / 1000

    def attend(self) -> float:
        waits: float = self.store._complete(self._worker.attend)
        return waits

    def take(self, token: str) -> Offer:
        offer: Offer = self.store._complete(lambda c: one(jobs.take(c, self.job, token)))
        return offer

    def _work(self, context: Context) -> Generator[Any, Any, None]:
        for step in range(self._steps):
            yield Found(step)
            yield Ask([jobs.renew(context, self.job, "nobody's")])
            self.begun += 1
            self._at_step(step)


def test_a_job_is_done_once_in_its_interval_by_whoever_comes_first(stores: ClockedStores) -> None:
    first, second = Hands(stores, "first"), Hands(stores, "second")
    assert 0.8 * 3600 <= first.attend() <= 1.2 * 3600
    second.attend()
    assert (first.begun, second.begun) == (3, 0)
    record = stores.client.hgetall(stores.space.job("sweeping"))
    assert record == {b"last_done_at": str(to_ms(NOON)).encode()}
    stores.clock.advance(HOUR - MS)
    assert second.attend() < 1
    assert second.begun == 0
    stores.clock.advance(MS)
    second.attend()
    first.attend()
    assert (first.begun, second.begun) == (3, 3)


def test_while_one_does_it_another_is_told_when_to_ask_again(stores: ClockedStores) -> None:
    asked: list[tuple[int, float]] = []
    second = Hands(stores, "second")
    first = Hands(stores, "first", lambda _: asked.append((second.begun, second.attend())))
    first.attend()
    assert [begun for begun, _ in asked] == [0, 0, 0]
    assert all(0.8 * 30 <= seconds <= 1.2 * 30 for _, seconds in asked)
    assert second.begun == 0


def test_a_job_whose_holder_died_is_done_by_another_when_the_lease_has_lapsed(
    stores: ClockedStores,
) -> None:
    def die(_: int) -> None:
        raise InterruptedError

    first, second = Hands(stores, "first", die), Hands(stores, "second")
    with pytest.raises(InterruptedError):
        first.attend()
    stores.clock.advance(LEASE - MS)
    assert second.attend() < 1
    assert second.begun == 0
    stores.clock.advance(MS)
    second.attend()
    assert second.begun == 3


def test_a_job_that_failed_is_gone_on_with_by_the_same_replica_at_once(
    stores: ClockedStores,
) -> None:
    troubles = [True]

    def fail(_: int) -> None:
        if troubles:
            troubles.pop()
            raise InterruptedError

    hands = Hands(stores, "one", fail)
    with pytest.raises(InterruptedError):
        hands.attend()
    hands.attend()
    assert hands.begun == 1 + 3
    assert stores.client.hkeys(stores.space.job("sweeping")) == [b"last_done_at"]


def test_a_long_job_keeps_its_lease(stores: ClockedStores) -> None:
    second = Hands(stores, "second")

    def take_time(_: int) -> None:
        stores.clock.advance(timedelta(seconds=20))
        second.attend()

    first = Hands(stores, "first", take_time, steps=6)
    first.attend()
    assert (first.begun, second.begun) == (6, 0)


def test_one_that_was_away_for_longer_than_its_lease_does_no_further_step(
    stores: ClockedStores,
) -> None:
    second = Hands(stores, "second")

    def sleep(step: int) -> None:
        if step == 0:
            stores.clock.advance(LEASE)
            second.attend()

    first = Hands(stores, "first", sleep)
    first.attend()
    assert (first.begun, second.begun) == (1, 3)
    # It did not mark as undone, or as done anew, what the other has done.
    assert stores.client.hget(stores.space.job("sweeping"), "last_done_at") == (
        str(to_ms(NOON + LEASE)).encode()
    )


def test_one_that_stops_gives_the_job_back_undone(stores: ClockedStores) -> None:
    def stop(_: int) -> None:
        first.stopping = True

    first, second = Hands(stores, "first", stop), Hands(stores, "second")
    first.attend()
    assert first.begun == 1
    second.attend()
    assert second.begun == 3


def test_a_lapsed_lease_is_not_renewed(stores: ClockedStores) -> None:
    hands = Hands(stores, "one")
    assert hands.take("one/0/1").taken
    stores.clock.advance(LEASE)
    assert not hands.store._complete(lambda c: one(jobs.renew(c, hands.job, "one/0/1")))
    assert hands.take("two/0/1").taken
    assert not hands.store._complete(lambda c: one(jobs.finish(c, hands.job, "one/0/1", done=True)))
    assert not hands.take("three/0/1").taken


@pytest.mark.parametrize("back", [timedelta(days=1), timedelta(seconds=1)])
def test_a_clock_that_was_set_back_delays_no_job(stores: ClockedStores, back: timedelta) -> None:
    hands = Hands(stores, "one")
    hands.attend()
    stores.clock.advance(-back)
    hands.attend()
    assert hands.begun == 6
    hands.take("one/0/1")
    stores.clock.advance(-DAY)
    assert hands.take("two/0/1").taken


def test_the_jobs_of_the_maintenance_prune_and_look_after_turns(stores: ClockedStores) -> None:
    store: Any = stores.open(replica="one", session_store_max_age_days=90)
    put(store, [aged("old", 1000 * DAY)])
    assert [job.name for job in jobs.JOBS] == ["turns", "prune"]
    for job in jobs.JOBS:
        worker = Worker(job, lambda: False)
        assert store._complete(worker.attend) <= 1.2 * job.interval
    assert not store.has_any_sessions()
