"""Clocks that are wrong, or jump: the server's decides, and going back undoes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from redisstore import ClockSkew, SessionResetPolicy, SessionStore, StoreConfig
from redisstore.keys import KeySpace
from tests.model.clock import ServerClock, SkewedClock, put_on_clocks
from tests.processes.lanes import key_of, source_of
from tests.servers import BACKEND_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import Server

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = key_of("1")
pytestmark = pytest.mark.parametrize("server", BACKEND_NAMES[:1], indirect=True)
POLICIES = {
    "daily": SessionResetPolicy(mode="daily", at_hour=4),
    "idle": SessionResetPolicy(mode="idle", idle_minutes=30),
    "both": SessionResetPolicy(mode="both", at_hour=4, idle_minutes=30),
}


@pytest.fixture
def config(server: Server, configured: Callable[..., StoreConfig]) -> StoreConfig:
    return configured(server.url(), partitions=1, default_reset_policy=POLICIES["both"])


@pytest.fixture
def clock(server: Server, config: StoreConfig) -> ServerClock:
    return ServerClock(server.client(), KeySpace(config.namespace), NOON)


@pytest.fixture
def open_at(config: StoreConfig, clock: ServerClock) -> Iterator[Callable[..., SessionStore]]:
    """Opens stores on the set clock, their own so much ahead of it."""
    stores: list[SessionStore] = []

    def open_one(ahead: timedelta = timedelta(0), **settings: Any) -> SessionStore:
        store = SessionStore.from_url(config=config.model_copy(update=settings))
        stores.append(put_on_clocks(store, clock, SkewedClock(clock, ahead)))
        return store

    yield open_one
    assert list(stores[0].audit()) == []
    for store in stores:
        store.close()


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
@pytest.mark.parametrize("mode", POLICIES)
@pytest.mark.parametrize("hour", [3.5, 4.0, 12])
def test_a_replica_an_hour_off_decides_like_the_others(
    open_at: Callable[..., SessionStore],
    clock: ServerClock,
    ahead: timedelta,
    mode: str,
    hour: float,
) -> None:
    true, wrong = (open_at(off, default_reset_policy=POLICIES[mode]) for off in (HOUR * 0, ahead))
    for start, minutes in ((NOON - 12 * HOUR + hour * HOUR, m) for m in (0, 29, 31, 60 * 20)):
        clock.set(start)
        reset = {}
        for name, store in (("true", true), ("wrong", wrong)):
            store.delete_session(key_of(name))
            store.get_or_create_session(source_of(name))
        clock.advance(timedelta(minutes=minutes))
        for name, store in (("true", true), ("wrong", wrong)):
            entry = store.get_or_create_session(source_of(name))
            assert entry.updated_at == clock.now()
            reset[name] = entry.auto_reset_reason
        assert reset["wrong"] == reset["true"]


def test_a_server_clock_set_back_resets_nothing_and_turns_no_activity_back(
    open_at: Callable[..., SessionStore], clock: ServerClock
) -> None:
    store = open_at()
    first = store.get_or_create_session(source_of("1"))
    latest = first.updated_at
    for jump in (-5 * HOUR, 2 * HOUR, -3 * HOUR, 20 * timedelta(minutes=1), -12 * HOUR):
        clock.advance(jump)
        touched = store.get_or_create_session(source_of("1"))
        updated = store.update_session(KEY, output_tokens=1)
        assert updated is not None
        assert touched.session_id == updated.session_id == first.session_id
        assert latest <= touched.updated_at <= updated.updated_at
        latest = updated.updated_at
        assert store.prune_old_entries(max_age_days=1).removed == 0
    clock.set(latest + timedelta(minutes=31))
    assert store.get_or_create_session(source_of("1")).auto_reset_reason == "idle"


def test_renewed_holds_survive_every_jump_and_an_unrenewed_one_is_not_eternal(
    open_at: Callable[..., SessionStore], clock: ServerClock
) -> None:
    store = open_at()
    store.get_or_create_session(source_of("1"))
    store.take_hold(KEY, "renewed")
    store.take_hold(KEY, "forgotten")
    for jump in (-5 * HOUR, -HOUR, 3 * HOUR, -8 * HOUR):
        clock.advance(jump)
        renewed = store.renew_holds([(KEY, "renewed")])
        lapses = renewed[(KEY, "renewed")]
        assert lapses == clock.now() + timedelta(seconds=store.config.process_hold_ttl)
        assert "renewed" in store.list_holds(KEY)
        assert store.count().active == 1
        report = store.prune_old_entries(before=NOON + 9 * HOUR)
        assert (report.removed, report.kept["active"]) == (0, 1)
    clock.advance(HOUR + timedelta(seconds=1))
    assert store.list_holds(KEY) == {}
    assert store.count().active == 0


def test_a_replica_days_off_is_told_so_and_writes_nothing(
    open_at: Callable[..., SessionStore], clock: ServerClock
) -> None:
    store = open_at()
    before = store.get_or_create_session(source_of("1"))
    for ahead in (3 * 24 * HOUR, -3 * 24 * HOUR):
        lost_in_time = open_at(ahead)
        with pytest.raises(ClockSkew):
            lost_in_time.get_or_create_session(source_of("1"))
        with pytest.raises(ClockSkew):
            lost_in_time.get_or_create_session(source_of("new"))
        with pytest.raises(ClockSkew):
            lost_in_time.update_session(KEY, output_tokens=1)
        with pytest.raises(ClockSkew):
            lost_in_time.reset_session(KEY)
        assert lost_in_time.get_session(KEY) == before
        assert lost_in_time.count_sessions() == 1
    assert clock.now() == NOON
