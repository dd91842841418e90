"""Turns whose replica died or was away for too long: found, marked, and refused for good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from redisstore import DuplicateMessage, SessionResetPolicy, SessionStore, TurnLost
from tests.conftest import OpenStore, Site
from tests.entries import key, source
from tests.turns import LEASE, ClockedStores, begun, believing, direct_client

ADA = key("ada")
IDLE = SessionResetPolicy(mode="idle", idle_minutes=60)


@pytest.fixture
def stores(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


@pytest.fixture
def store(stores: ClockedStores) -> SessionStore:
    return stores.open()


def test_a_lapsed_turn_is_found_once_and_its_session_marked(
    stores: ClockedStores, store: SessionStore
) -> None:
    turn = begun(store, message_id="m-1")
    before = turn.update(output_tokens=1)
    assert store.recover_turns() == 0
    stores.lapse()
    assert store.recover_turns() == 1
    assert store.recover_turns() == 0
    entry = store.get_session(ADA)
    assert entry is not None
    assert (entry.resume_pending, entry.resume_reason) == (True, "replica_lost")
    assert entry.last_resume_marked_at == stores.clock.now()
    assert entry.updated_at == before.updated_at
    assert entry.interruptions == 1
    assert list(store.list_turns()) == []


def test_who_was_away_for_too_long_can_write_nothing(
    stores: ClockedStores, store: SessionStore
) -> None:
    turn = begun(store, message_id="m-1")
    stores.lapse()
    before = store.get_session(ADA)
    for write in (
        lambda: turn.update(output_tokens=1),
        lambda: store.update_session(ADA, output_tokens=1, if_turn=turn),
        lambda: turn.end(output_tokens=1),
    ):
        with pytest.raises(TurnLost):
            write()
    assert turn.lost
    assert store.get_session(ADA) == before


@pytest.mark.parametrize("found_by", ["the next turn", "a recovery"])
def test_the_interrupted_message_is_handled_when_it_comes_again(
    stores: ClockedStores, store: SessionStore, found_by: str
) -> None:
    lost = begun(store, message_id="m-1")
    with pytest.raises(DuplicateMessage):
        begun(store, message_id="m-1")
    stores.lapse()
    if found_by == "a recovery":
        assert store.recover_turns() == 1
    again = begun(store, message_id="m-1")
    assert again.fence > lost.fence
    assert again.entry.session_id == lost.entry.session_id
    assert again.entry.resume_reason == "replica_lost"
    with pytest.raises(TurnLost):
        lost.end(output_tokens=1)
    ended = again.end(output_tokens=3)
    assert (ended.output_tokens, ended.resume_pending, ended.interruptions) == (3, False, 0)


def test_a_message_that_is_done_stays_done(stores: ClockedStores, store: SessionStore) -> None:
    begun(store, message_id="m-1").end()
    begun(store, message_id="m-2")
    stores.lapse()
    assert store.recover_turns() == 1
    with pytest.raises(DuplicateMessage) as known:
        begun(store, message_id="m-1")
    assert known.value.state == "done"


def test_too_many_interruptions_in_a_row_suspend_a_session(
    stores: ClockedStores, store: SessionStore
) -> None:
    session_id = begun(store).entry.session_id
    for interruptions in (1, 2):
        stores.lapse()
        turn = begun(store)
        assert turn.entry.interruptions == interruptions
        assert turn.entry.session_id == session_id
    stores.lapse()
    assert store.recover_turns() == 1
    entry = store.get_session(ADA)
    assert entry is not None
    assert (entry.suspended, entry.interruptions) == (True, 3)
    anew = begun(store)
    assert anew.reset_reason == "suspended"
    assert anew.entry.session_id != session_id
    assert anew.end().interruptions == 0


def test_a_turn_that_ends_well_starts_the_count_anew(
    stores: ClockedStores, store: SessionStore
) -> None:
    for _ in range(4):
        begun(store)
        stores.lapse()
        turn = begun(store)
        assert turn.entry.interruptions == 1
        turn.end()


def test_suspension_after_interruptions_can_be_switched_off(stores: ClockedStores) -> None:
    store = stores.open(suspend_after_interruptions=0)
    for interruptions in range(5):
        assert begun(store).entry.interruptions == interruptions
        stores.lapse()


def test_a_reset_or_suspended_session_is_not_marked(
    stores: ClockedStores, store: SessionStore
) -> None:
    begun(store)
    store.reset_session(ADA)
    stores.lapse()
    assert store.recover_turns() == 1
    entry = store.get_session(ADA)
    assert entry is not None
    assert not entry.resume_pending
    begun(store)
    store.suspend_session(ADA)
    stores.lapse()
    assert store.recover_turns() == 1
    entry = store.get_session(ADA)
    assert entry is not None
    assert entry.suspended
    assert not entry.resume_pending


def test_a_running_turn_keeps_its_session_from_policy_resets(stores: ClockedStores) -> None:
    store = stores.open(default_reset_policy=IDLE)
    turn = begun(store)
    stores.clock.advance(timedelta(minutes=61))
    stores.keep(ADA)
    assert store.get_or_create_session(source("ada")).session_id == turn.entry.session_id
    turn.end()
    stores.clock.advance(timedelta(minutes=61))
    assert store.get_or_create_session(source("ada")).auto_reset_reason == "idle"


def test_a_lease_far_ahead_counts_as_lapsed_for_the_clock_was_set_back(
    stores: ClockedStores, store: SessionStore
) -> None:
    turn = begun(store)
    stores.clock.advance(-timedelta(hours=1))
    with pytest.raises(TurnLost):
        turn.update(output_tokens=1)
    assert store.recover_turns() == 1
    later = begun(store)
    assert later.fence > turn.fence
    later.end()


def test_a_clock_set_back_a_little_costs_no_turn(
    stores: ClockedStores, store: SessionStore
) -> None:
    turn = begun(store)
    stores.clock.advance(-timedelta(minutes=1))
    assert store.recover_turns() == 0
    assert turn.end(output_tokens=1).updated_at == turn.entry.updated_at


def test_a_process_that_dies_again_and_again_pins_no_session(
    stores: ClockedStores, store: SessionStore
) -> None:
    for _ in range(3):
        begun(store)
        stores.clock.advance(LEASE)
        assert store.recover_turns() == 1
    assert list(store.list_turns()) == []


def test_a_turn_that_was_cut_cannot_end(store: SessionStore) -> None:
    turn = begun(store, message_id="m-1")
    cut = store.drain(grace=0)
    assert cut.cut == (ADA,)
    with pytest.raises(TurnLost):
        believing(turn).end(output_tokens=1)
