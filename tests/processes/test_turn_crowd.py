"""A thousand turns of ten processes wait for a hundred sessions; each is served, in its turn."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from redisstore import DuplicateMessage, SessionStore
from tests.servers import BACKEND_NAMES

from .crew import Crew
from .crowd import TOKENS, Crowd, by_lane
from .lanes import key_of, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redisstore import StoreConfig

PROCESSES = 10
NAMES = [f"lane {number}" for number in range(100)]


@pytest.fixture(scope="module")
def ten() -> Iterator[Crew]:
    with Crew(PROCESSES) as crew:
        yield crew


@pytest.mark.parametrize("place", [BACKEND_NAMES[0], "valkey-9.1 cluster"], indirect=True)
def test_a_thousand_turns_are_all_served_in_order_of_arrival(
    ten: Crew, configured: Callable[..., StoreConfig]
) -> None:
    with SessionStore.from_url(config=configured()) as store:
        _, served = Crowd(ten, store, NAMES).serve(
            lambda: sum(turn.waiting for turn in store.list_turns())
        )
        lanes = by_lane(served)
        assert {name: [turn.place for turn in lanes[name]] for name in NAMES} == {
            name: list(range(PROCESSES)) for name in NAMES
        }
        assert len(served) == PROCESSES * len(NAMES)
        for turns in lanes.values():
            assert all(one.left <= other.began for one, other in pairwise(turns))
        entries = {entry.session_key: entry for entry in store.list_sessions()}
        counted = {name: entries[key_of(name)].output_tokens for name in NAMES}
        assert counted == dict.fromkeys(NAMES, PROCESSES * TOKENS)
        for name in NAMES[::10]:
            _was_handled(store, name)
        assert list(store.list_turns()) == []
        assert list(store.audit()) == []


def _was_handled(store: SessionStore, name: str) -> None:
    for place in range(PROCESSES):
        again = store.turn(source_of(name), f"{name}/{place}", wait=0)
        with pytest.raises(DuplicateMessage) as known, again:
            pass
        assert known.value.state == "done"
