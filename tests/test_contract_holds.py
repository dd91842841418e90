"""What process holds promise, through both faces."""

from __future__ import annotations

import pytest

from redisstore import NoSuchSession, SessionStore
from tests.entries import DAY, NOW, aged, key, put, source
from tests.servers import wait_until

ADA = key("ada")


@pytest.fixture
def held(store: SessionStore) -> SessionStore:
    store.get_or_create_session(source("ada"))
    store.get_or_create_session(source("bob"))
    return store


def test_holds_are_counted(held: SessionStore) -> None:
    first = held.take_hold(ADA, "cron")
    second = held.take_hold(ADA, "shell", ttl=60)
    assert held.list_holds(ADA) == {"cron": first, "shell": second}
    assert held.release_hold(ADA, "cron")
    assert held.count().active == 1
    assert held.release_hold(ADA, "shell")
    assert held.count().active == 0
    assert not held.release_hold(ADA, "shell")


def test_taking_a_hold_again_renews_it(held: SessionStore) -> None:
    first = held.take_hold(ADA, "cron", ttl=10)
    second = held.take_hold(ADA, "cron", ttl=20)
    assert second > first
    assert held.list_holds(ADA) == {"cron": second}


def test_a_hold_lapses(held: SessionStore) -> None:
    held.take_hold(ADA, "cron", ttl=0.02)
    wait_until(lambda: held.count().active == 0, timeout=5, message="the hold lapses")
    assert held.list_holds(ADA) == {}
    assert not held.release_hold(ADA, "cron")


def test_the_longest_hold_counts(held: SessionStore) -> None:
    held.take_hold(ADA, "long", ttl=60)
    held.take_hold(ADA, "short", ttl=0.001)
    wait_until(lambda: len(held.list_holds(ADA)) == 1, timeout=5, message="the short one lapses")
    assert held.count().active == 1


def test_a_hold_on_an_unknown_key_is_refused(held: SessionStore) -> None:
    with pytest.raises(NoSuchSession, match="nobody"):
        held.take_hold(key("nobody"), "cron")
    assert held.list_holds(key("nobody")) == {}


def test_thousands_are_renewed_in_one_call(held: SessionStore) -> None:
    holds = [(ADA, f"process-{n}") for n in range(2500)] + [(key("bob"), "cron")]
    found = held.renew_holds([*holds, (key("nobody"), "cron")])
    assert set(found) == {*holds, (key("nobody"), "cron")}
    assert [hold for hold, lapses in found.items() if lapses is None] == [(key("nobody"), "cron")]
    assert len(held.list_holds(ADA)) == 2500
    assert held.renew_holds([]) == {}


def test_holding_is_not_activity(held: SessionStore) -> None:
    before = held.get_session(ADA)
    held.take_hold(ADA, "cron")
    held.release_hold(ADA, "cron")
    assert held.get_session(ADA) == before


def test_a_held_session_outlives_a_prune_until_it_is_released(store: SessionStore) -> None:
    put(store, [aged("ada", 100 * DAY)])
    store.take_hold(ADA, "cron")
    assert store.prune_old_entries(before=NOW).removed == 0
    store.release_hold(ADA, "cron")
    assert store.prune_old_entries(before=NOW).removed == 1
