"""Which sessions count as expired, through both faces: the policy is asked again at the claim."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from redisstore import ClockSkew, SessionKey, SessionResetPolicy
from redisstore.calls import expiry
from redisstore.fields import to_ms
from tests.closing import ADA, HOUR, MS, Closer, due, entry_of, expired_just_now
from tests.conftest import OpenStore, Site
from tests.entries import source
from tests.turns import LEASE, ClockedStores, begun, direct_client


@pytest.fixture
def stores(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


@pytest.fixture
def closer(stores: ClockedStores) -> Closer:
    return expired_just_now(stores)


def test_a_held_session_has_to_wait_for_as_long_as_it_is_held(
    stores: ClockedStores, closer: Closer
) -> None:
    closer.store.take_hold(ADA, "a process", ttl=120)
    assert closer.claim() == {}
    assert due(stores) == to_ms(stores.clock.now()) + 120_000
    stores.clock.advance(timedelta(seconds=100))
    closer.store.take_hold(ADA, "a process", ttl=120)
    stores.clock.advance(timedelta(seconds=20))
    assert closer.claim() == {}
    stores.clock.advance(timedelta(seconds=100))
    assert set(closer.claim()) == {ADA}


def test_a_turn_that_outlives_the_deadline_is_waited_for(stores: ClockedStores) -> None:
    soon = SessionResetPolicy(mode="idle", idle_minutes=1)
    closer = Closer(stores, default_reset_policy=soon)
    closer.store.get_or_create_session(source("ada"))
    begun(closer.store, "ada")
    stores.clock.advance(timedelta(seconds=50))
    stores.keep(ADA)
    stores.clock.advance(timedelta(seconds=11))
    assert closer.claim() == {}
    stores.clock.advance(LEASE)
    assert set(closer.claim_all()) == {ADA}


def test_the_policy_is_asked_again_at_the_claim(stores: ClockedStores, closer: Closer) -> None:
    longer = SessionResetPolicy(mode="idle", idle_minutes=120)
    assert Closer(stores, "longer", default_reset_policy=longer).claim() == {}
    assert closer.claim() == {}
    stores.clock.advance(HOUR)
    assert set(closer.claim()) == {ADA}


def test_under_the_policy_none_nothing_is_closed(stores: ClockedStores) -> None:
    expired_just_now(stores)
    never = Closer(stores, "never", default_reset_policy=SessionResetPolicy())
    assert never.claim() == {}
    assert due(stores) is None


def test_a_daily_deadline_is_found_by_the_zone_of_the_caller(stores: ClockedStores) -> None:
    daily = SessionResetPolicy(mode="daily", at_hour=4)
    closer = Closer(stores, default_reset_policy=daily, timezone="Europe/Berlin")
    closer.store.get_or_create_session(source("ada"))
    stores.clock.advance(timedelta(hours=14) - MS)  # from noon to two o'clock in UTC
    assert closer.claim() == {}
    stores.clock.advance(MS)
    assert set(closer.claim()) == {ADA}


def test_a_clock_that_is_a_day_off_closes_nothing(
    stores: ClockedStores, open_store: OpenStore
) -> None:
    daily = SessionResetPolicy(mode="daily", at_hour=4)
    closer = Closer(stores, default_reset_policy=daily)
    closer.store.get_or_create_session(source("ada"))
    home = stores.space.partition_of(ADA)
    stores.client.zadd(home.expiry, {ADA: 1})
    # Its own clock tells the true time; the server's stands where the test put it.
    off: Any = open_store(default_reset_policy=daily, replica="off")
    off._runner.library = closer.store._runner.library
    with pytest.raises(ClockSkew):
        off._complete(expiry.claim)
    assert due(stores) == 1


@pytest.mark.damages
def test_a_damaged_session_is_passed_over_and_those_behind_it_are_closed(
    stores: ClockedStores, closer: Closer, caplog: pytest.LogCaptureFixture
) -> None:
    home = stores.space.partition_of(ADA)
    stores.client.zadd(home.expiry, {"gone": 1, "list": 2, "text": 3})
    stores.client.rpush(home.entry(SessionKey("list")), "x")
    stores.client.hset(home.entry(SessionKey("text")), "version", "x")
    assert set(closer.claim_all()) == {ADA}
    assert "list is damaged" in caplog.text
    assert "text is damaged" in caplog.text
    assert stores.client.zscore(home.expiry, "gone") is None
    assert stores.client.zscore(home.expiry, "list") > to_ms(stores.clock.now())


def test_an_imported_session_that_was_closed_is_not_closed_again(stores: ClockedStores) -> None:
    closer = Closer(stores)
    closer.store.get_or_create_session(source("ada"))
    entry = entry_of(closer.store).model_copy(update={"expiry_finalized": True})
    closer.store.delete_session(ADA)
    list(closer.store.import_sessions([entry]))
    stores.clock.advance(HOUR + MS)
    assert closer.claim() == {}
    assert due(stores) is None
