"""The server's clock, set back a little, as a fail-over may do: nothing is lost to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from redisstore import StoreConfig, TurnLost
from redisstore.calls import jobs
from redisstore.calls.call import one
from redisstore.calls.replicas import Presence
from redisstore.config import FURTHEST_LEASE
from redisstore.scripts import library
from tests.conftest import OpenStore, Site
from tests.entries import key, source
from tests.turns import ClockedStores, begun, direct_client

A_LITTLE = timedelta(minutes=5)
"""By so much the clock may be set back, whatever the settings."""
MS = timedelta(milliseconds=1)
LONGEST = {"turn_lease_ttl": 300.0, "job_lease_ttl": 300.0, "heartbeat_ttl": 3600.0}


@pytest.fixture
def stores(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


def longest(name: str) -> float:
    """Return the most that a setting may be."""
    (most,) = (
        found.le for found in StoreConfig.model_fields[name].metadata if hasattr(found, "le")
    )
    value: float = most
    return value


def test_the_longest_lease_outlasts_it(stores: ClockedStores) -> None:
    store = stores.open(**LONGEST)
    turn = begun(store)
    stores.clock.advance(-A_LITTLE)
    turn.update(output_tokens=1)
    assert store.recover_turns() == 0
    assert [running.lapsed for running in store.list_turns()] == [False]
    turn.end()
    entry = store.get_session(key("ada"))
    assert entry is not None
    assert (entry.output_tokens, entry.resume_pending) == (1, False)


def test_a_lease_that_would_last_for_longer_is_lost(stores: ClockedStores) -> None:
    store = stores.open(**LONGEST)
    turn = begun(store)
    stores.clock.advance(-A_LITTLE - MS)
    assert [running.lapsed for running in store.list_turns()] == [True]
    with pytest.raises(TurnLost):
        turn.update(output_tokens=1)
    assert store.recover_turns() == 1
    # The clock counts from now on: the lane is to be had.
    begun(store).end()


def test_the_longest_lease_of_a_job_outlasts_it(stores: ClockedStores) -> None:
    store: Any = stores.open(**LONGEST)
    job = next(job for job in jobs.JOBS if job.name == "prune")
    assert store._complete(lambda context: one(jobs.take(context, job, "one/0/1"))).taken
    stores.clock.advance(-A_LITTLE)
    assert not store._complete(lambda context: one(jobs.take(context, job, "two/0/1"))).taken
    assert store._complete(lambda context: one(jobs.renew(context, job, "one/0/1")))


def test_the_longest_heartbeat_outlasts_it(stores: ClockedStores) -> None:
    presences = []
    for name in ("one", "two"):
        store: Any = stores.open(replica=name, **LONGEST)
        presences.append((store, Presence()))
    (store, _), (other, its) = presences
    for at, presence in presences:
        at._complete(lambda context, presence=presence: presence.beat(context, (0, 0), "up"))
    stores.clock.advance(-A_LITTLE)
    other._complete(lambda context: its.beat(context, (0, 0), "up"))
    assert {found.name: found.alive for found in store.list_replicas()} == dict.fromkeys(
        ("one", "two"), True
    )
    stores.clock.advance(-MS)
    assert [found.name for found in store.list_replicas() if not found.alive] == ["one"]


def test_the_longest_hold_is_kept_by_any_step(stores: ClockedStores) -> None:
    store = stores.open(process_hold_ttl=3600.0)
    store.get_or_create_session(source("ada"))
    store.take_hold(key("ada"), "p")
    for back in (MS, A_LITTLE, timedelta(days=1)):
        stores.clock.advance(-back)
        store.recover_turns()
        assert set(store.list_holds(key("ada"))) == {"p"}
        assert store.count().active == 1


@pytest.mark.parametrize(
    ("setting", "script", "constant", "and_set_back"),
    [
        ("turn_lease_ttl", "renew_turns", "LEASE", True),
        ("job_lease_ttl", "take_job", "LEASE", True),
        ("heartbeat_ttl", "heartbeat", "TTL", True),
        ("process_hold_ttl", "hold_processes", "HOLD", False),
    ],
)
def test_the_scripts_know_the_longest_that_may_be_set(
    setting: str, script: str, constant: str, *, and_set_back: bool
) -> None:
    text = library()[script].text
    names = [f"LONGEST_{constant}_MS"] + [f"FURTHEST_{constant}_MS"] * and_set_back
    found = re.search(rf"^local {', '.join(names)} = ([\d, ]+)$", text, re.MULTILINE)
    assert found is not None
    values = [int(value) / 1000 for value in found[1].split(",")]
    assert values[0] == longest(setting)
    if and_set_back:
        assert values[1] == values[0] + A_LITTLE.total_seconds()
    if constant == "LEASE":
        assert values[1] == FURTHEST_LEASE
