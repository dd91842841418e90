"""The store does what the contract says: random operations, held against a reference model.

``MODEL_TEST_EXAMPLES=5000`` makes a long run: so many sequences for each machine, new ones each
time. Otherwise they are few and always the same.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from redisstore import SessionSource, SessionStore, StoreConfig
from redisstore.connect import connect
from redisstore.keys import KeySpace
from tests.model.clock import ServerClock, put_on_clocks
from tests.model.machine import StoreMachine
from tests.model.stage import Stage
from tests.servers import BACKEND_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Sites

LONG = int(os.environ.get("MODEL_TEST_EXAMPLES", "0"))
IN_MEMORY = "memory"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def play(stage: Stage, examples: int) -> None:
    run_state_machine_as_test(
        StoreMachine.on(stage),
        settings=settings(
            max_examples=LONG or examples,
            stateful_step_count=40,
            derandomize=not LONG,
            database=None,
            deadline=None,
            # A sequence is hundreds of round trips by nature, and the machine may be busy.
            suppress_health_check=[HealthCheck.too_slow],
            # Minutes of shrinking would look like a hang; a long run has the time for it.
            phases=tuple(Phase) if LONG else (Phase.explicit, Phase.generate),
            print_blob=True,
        ),
    )


@pytest.mark.parametrize(
    ("site", "partitions", "examples"),
    [
        (IN_MEMORY, 1, 90),
        (IN_MEMORY, 3, 40),
        *((backend, partitions, 30) for backend in BACKEND_NAMES for partitions in (1, 3)),
    ],
)
def test_the_store_and_the_model_agree(
    sites: Sites, site: str, partitions: int, examples: int
) -> None:
    url = sites.get(site).url
    with connect(StoreConfig(url=url)).client as client:
        play(Stage(url, client, partitions), examples)


def test_the_asyncio_store_and_the_model_agree(sites: Sites) -> None:
    url = sites.get("valkey-9.1").url
    with asyncio.Runner() as runner, connect(StoreConfig(url=url)).client as client:
        play(Stage(url, client, 3, runner.get_loop()), 20)


@pytest.fixture(params=[IN_MEMORY, *BACKEND_NAMES])
def clocked_store(
    request: pytest.FixtureRequest, sites: Sites, namespace: str
) -> Iterator[tuple[SessionStore, ServerClock]]:
    url = sites.get(request.param).url
    config = StoreConfig(url=url, namespace=namespace, partitions=1)
    with connect(config).client as client, SessionStore.from_url(config=config) as store:
        clock = ServerClock(client, KeySpace(namespace), NOON)
        yield put_on_clocks(store, clock), clock
        assert list(store.audit()) == []


def test_a_hold_further_ahead_than_any_can_be_counts_as_held(
    clocked_store: tuple[SessionStore, ServerClock],
) -> None:
    store, clock = clocked_store
    key = store.get_or_create_session(SessionSource(platform="slack", chat_id="1")).session_key
    store.take_hold(key, "p", ttl=3600)

    clock.advance(-2 * HOUR)

    assert store.list_holds(key).keys() == {"p"}
    assert store.count().active == 1
    report = store.prune_old_entries(before=clock.now() + 3 * HOUR, dry_run=True)
    assert (report.removed, report.kept["active"]) == (0, 1)


def test_a_hold_of_the_future_lapses_an_hour_after_a_prune_met_it(
    clocked_store: tuple[SessionStore, ServerClock],
) -> None:
    store, clock = clocked_store
    key = store.get_or_create_session(SessionSource(platform="slack", chat_id="1")).session_key
    store.take_hold(key, "p", ttl=3600)
    clock.advance(-2 * HOUR)

    before = NOON + HOUR
    assert store.prune_old_entries(before=before).kept["active"] == 1
    assert list(store.audit()) == []

    clock.advance(HOUR - timedelta(milliseconds=1))
    assert store.prune_old_entries(before=before).kept["active"] == 1
    clock.advance(timedelta(milliseconds=1))
    assert store.list_holds(key) == {}
    assert int(store.prune_old_entries(before=before)) == 1


@pytest.mark.parametrize("touched_by", ["taking", "renewing", "releasing"])
def test_a_hold_of_the_future_is_cut_when_holds_of_its_session_change(
    clocked_store: tuple[SessionStore, ServerClock], touched_by: str
) -> None:
    store, clock = clocked_store
    key = store.get_or_create_session(SessionSource(platform="slack", chat_id="1")).session_key
    store.take_hold(key, "other", ttl=3600)
    store.take_hold(key, "p", ttl=3600)
    clock.advance(-2 * HOUR)

    if touched_by == "taking":
        store.take_hold(key, "p", ttl=60)
    elif touched_by == "renewing":
        store.renew_holds([(key, "p")])
    else:
        assert store.release_hold(key, "p")

    assert store.list_holds(key)["other"] == clock.now() + HOUR
    assert max(store.list_holds(key).values()) == clock.now() + HOUR


def test_last_activity_does_not_go_back_with_the_clock(
    clocked_store: tuple[SessionStore, ServerClock],
) -> None:
    store, clock = clocked_store
    source = SessionSource(platform="slack", chat_id="1")
    first = store.get_or_create_session(source)

    clock.advance(timedelta(days=-30))

    assert store.get_or_create_session(source).updated_at == first.updated_at
    again = store.reset_session(first.session_key)
    assert again is not None
    assert (again.created_at, again.updated_at) == (clock.now(), first.updated_at)
