"""Replicas, through both faces: who is listed, who counts as dead, whose sessions are marked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from importlib import metadata
from typing import Any

import pytest

from redisstore import Replica, SessionStore
from redisstore.calls import replicas
from redisstore.calls.call import one
from redisstore.calls.replicas import Presence, ReplicaState
from tests.conftest import OpenStore, Site
from tests.entries import key, source
from tests.sweeps import carried_out
from tests.turns import NOON, ClockedStores, begun, direct_client

TTL = timedelta(seconds=15)
"""The default time to live of a heartbeat."""
MS = timedelta(milliseconds=1)
DAY = timedelta(days=1)


@pytest.fixture
def stores(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


class Process:
    """A process that is a replica, and beats when the test says so."""

    def __init__(self, stores: ClockedStores, replica: str = "one") -> None:
        self.store: Any = stores.open(replica=replica)
        self._presence = Presence()

    def beat(self, turns: tuple[int, int] = (0, 0), state: ReplicaState = "up") -> None:
        self.store._complete(lambda c: self._presence.beat(c, turns, state))

    def leave(self) -> bool:
        left: bool = self.store._complete(lambda c: one(replicas.leave(c)))
        return left

    @property
    def incarnation(self) -> str:
        name: str = self.store._opening.context.incarnation
        return name


def listed(store: SessionStore) -> dict[str, Replica]:
    return {found.name: found for found in store.list_replicas()}


def test_a_replica_that_beats_is_listed_with_what_it_is_at(stores: ClockedStores) -> None:
    process = Process(stores)
    assert listed(process.store) == {}
    process.beat((2, 3))
    found = listed(process.store)["one"]
    assert (found.alive, found.state, found.turns, found.waiting) == (True, "up", 2, 3)
    assert found.incarnation == process.incarnation
    assert found.started_at == found.beat_at == NOON
    assert found.lapses_at == NOON + TTL
    assert found.pid is not None
    assert found.version
    stores.clock.advance(timedelta(seconds=5))
    process.beat((0, 0), "draining")
    found = listed(process.store)["one"]
    assert (found.state, found.turns) == ("draining", 0)
    assert found.started_at == NOON
    assert found.beat_at == NOON + timedelta(seconds=5)


def test_one_that_does_not_beat_is_dead_and_is_forgotten_a_day_later(
    stores: ClockedStores,
) -> None:
    dying, living = Process(stores, "dying"), Process(stores, "living")
    dying.beat()
    stores.clock.advance(TTL - MS)
    assert listed(living.store)["dying"].alive
    stores.clock.advance(MS)
    assert not listed(living.store)["dying"].alive
    stores.clock.advance(DAY - MS)
    living.beat()
    assert set(listed(living.store)) == {"dying", "living"}
    stores.clock.advance(MS)
    living.beat()
    assert set(listed(living.store)) == {"living"}
    assert not stores.client.exists(stores.space.root + "replica:dying")


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Redisstore as from a checkout or a vendored copy; what asked for its version meanwhile."""
    asked = []
    version_of = metadata.version

    def version(name: str) -> str:
        if name != "redisstore":
            return version_of(name)
        asked.append(name)
        raise metadata.PackageNotFoundError(name)

    replicas.own_version.cache_clear()
    monkeypatch.setattr(metadata, "version", version)
    yield asked
    replicas.own_version.cache_clear()


def test_one_that_is_not_installed_beats_all_the_same(
    stores: ClockedStores, not_installed: list[str]
) -> None:
    process = Process(stores)
    for _ in range(3):
        process.beat()
    found = listed(process.store)["one"]
    assert (found.alive, found.version) == (True, "unknown")
    assert not_installed == ["redisstore"]


def test_one_that_leaves_is_listed_no_more(stores: ClockedStores) -> None:
    process = Process(stores)
    process.beat()
    assert process.leave()
    assert listed(process.store) == {}
    assert not process.leave()


def test_of_two_processes_with_one_name_the_newer_is_listed_and_the_older_warns_once(
    stores: ClockedStores, caplog: pytest.LogCaptureFixture
) -> None:
    older, newer = Process(stores), Process(stores)
    older.beat()
    newer.beat()
    with caplog.at_level(logging.WARNING, "redisstore"):
        older.beat()
        older.beat()
    assert caplog.text.count("another process has the name 'one'") == 1
    assert listed(older.store)["one"].incarnation == newer.incarnation
    assert not older.leave()
    assert newer.leave()
    older.beat()
    assert listed(older.store)["one"].incarnation == older.incarnation


def test_a_restarted_replica_takes_its_name_also_when_the_clock_was_set_back(
    stores: ClockedStores,
) -> None:
    before = Process(stores)
    before.beat()
    stores.clock.advance(timedelta(days=-2))
    after = Process(stores)
    # It lapses later than any can.
    assert not listed(after.store)["one"].alive
    after.beat()
    before.beat()
    assert listed(after.store)["one"].incarnation == after.incarnation
    assert listed(after.store)["one"].alive


def test_one_of_before_the_clock_was_set_back_counts_as_dead_until_it_beats(
    stores: ClockedStores,
) -> None:
    process, other = Process(stores), Process(stores, "other")
    process.beat()
    stores.clock.advance(timedelta(days=-2))
    other.beat()
    found = listed(other.store)["one"]
    assert (found.alive, found.lapses_at) == (False, stores.clock.now())
    process.beat()
    assert listed(other.store)["one"].alive


def test_more_replicas_than_a_page_are_all_listed(stores: ClockedStores) -> None:
    store: Any = stores.open(replica="lister")
    scores = {f"r{number}": number for number in range(200)}
    stores.client.zadd(stores.space.replicas, scores)
    assert [found.name for found in store.list_replicas()] == list(scores)


@pytest.mark.parametrize("apart", [timedelta(0), MS], ids=["at the same time", "one by one"])
def test_replicas_that_beat_while_they_are_listed_are_listed_once(
    stores: ClockedStores, monkeypatch: pytest.MonkeyPatch, apart: timedelta
) -> None:
    monkeypatch.setattr(replicas, "_PAGE", 3)
    processes = [Process(stores, f"r{number}") for number in range(8)]
    for process in processes:
        process.beat()
        stores.clock.advance(apart)

    def some_beat() -> None:
        stores.clock.advance(TTL / 3)
        for process in processes[:2]:
            process.beat((1, 0))

    store: Any = processes[0].store
    found = carried_out(store, replicas.sweep(store._opening.context), some_beat)
    assert [one.name for one in found] == [f"r{number}" for number in (2, 3, 4, 5, 6, 7, 0, 1)]
    assert [one.turns for one in found] == [0] * 6 + [1] * 2


def test_sessions_of_the_dead_are_marked_and_those_of_the_living_are_not(
    stores: ClockedStores,
) -> None:
    living, dead, left = (Process(stores, name) for name in ("living", "dead", "left"))
    for process in (living, dead, left):
        process.beat()
        process.store.get_or_create_session(source(process.store.config.replica))
    begun(dead.store, "busy")
    left.leave()
    stores.clock.advance(TTL)
    living.beat()
    # Its turn outlives its heartbeat: the lease tells.
    restarted = Process(stores, "restarted").store
    assert restarted.suspend_recently_active() == 1
    marked = restarted.get_session(key("dead"))
    assert marked is not None
    assert (marked.resume_pending, marked.resume_reason) == (True, "restart_interrupted")
    for name in ("living", "left", "busy"):
        entry = restarted.get_session(key(name))
        assert entry is not None
        assert not entry.resume_pending, name
    assert restarted.suspend_recently_active() == 0
