"""Lists of running turns, through both faces, while some are renewed and some end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from redisstore.calls import leases, running_turns
from redisstore.keys import Partition
from tests.conftest import OpenStore, Site
from tests.entries import key
from tests.sweeps import carried_out
from tests.turns import LEASE, ClockedStores, begun, direct_client

MS = timedelta(milliseconds=1)
PAGE = 3
MANY = 2 * PAGE + 2


@pytest.fixture
def stores(
    open_store: OpenStore, site: Site, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ClockedStores]:
    monkeypatch.setattr(running_turns, "_PAGE", PAGE)
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


def names_in(stores: ClockedStores, home: Partition) -> list[str]:
    """Return the names of as many lanes of a partition as make three pages, in order."""
    found = (name for name in map(str, count()) if stores.space.partition_of(key(name)) == home)
    return sorted(next(found) for _ in range(MANY))


def renewed(store: Any, turns: list[Any]) -> None:
    store._complete(lambda c: leases.renew(c, [turn.lease for turn in turns]))


@pytest.mark.parametrize("apart", [timedelta(0), MS], ids=["at the same time", "one by one"])
def test_turns_that_are_renewed_while_they_are_listed_are_listed_once(
    stores: ClockedStores, apart: timedelta
) -> None:
    store: Any = stores.open()
    first, last = stores.space.partitions[0], stores.space.partitions[-1]
    homes = [first] if first == last else [first, last]
    running: dict[Partition, list[Any]] = {home: [] for home in homes}
    for home in homes:
        for name in names_in(stores, home):
            running[home].append(begun(store, name))
            stores.clock.advance(apart)

    def some_are_renewed() -> None:
        stores.clock.advance(LEASE / 3)
        renewed(store, running[first][:2])

    found = carried_out(store, running_turns.sweep(store._opening.context), some_are_renewed)
    assert len(found) == MANY * len(homes)
    assert {one.token for one in found} == {
        turn.lease.token for turns in running.values() for turn in turns
    }
    for turns in running.values():
        for turn in turns:
            turn.end()
    assert list(store.list_turns()) == []


def test_turns_that_end_while_they_are_listed_hide_no_others(stores: ClockedStores) -> None:
    store: Any = stores.open()
    home = stores.space.partitions[0]
    turns = []
    for name in names_in(stores, home):
        turns.append(begun(store, name))
        stores.clock.advance(MS)
    tokens = [turn.lease.token for turn in turns]

    def some_end() -> None:
        for turn in turns[:2]:
            turn.end()

    found = carried_out(store, running_turns.sweep(store._opening.context), some_end)
    # Those that have ended were listed before.
    assert [one.token for one in found] == tokens
