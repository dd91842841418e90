"""Lanes that are bound to one session id: their turns exclude one another, wherever they live."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redisstore import SessionId, SessionStore, TurnBusy, TurnLost
from redisstore.fields import to_ms
from tests.conftest import OpenStore, Site
from tests.entries import DAY, aged, key, put, source
from tests.turns import ClockedStores, begun, direct_client

ADA, BOB, CAY = "ada", "bob", "cay"
"""In three partitions, where there are so many."""


@pytest.fixture
def stores(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


def shared(store: SessionStore) -> SessionId:
    """Bind Bob's lane to the id of Ada's."""
    session_id = store.get_or_create_session(source(ADA)).session_id
    store.get_or_create_session(source(BOB))
    bound = store.switch_session(key(BOB), session_id)
    assert bound is not None
    assert bound.session_id == session_id
    return session_id


def test_turns_on_a_shared_id_exclude_one_another(store: SessionStore) -> None:
    session_id = shared(store)
    for first, second in ((ADA, BOB), (BOB, ADA)):
        turn = begun(store, first)
        assert turn.entry.session_id == session_id
        with pytest.raises(TurnBusy, match="tester"):
            begun(store, second)
        assert [running.session_key for running in store.list_turns()] == [key(first)]
        turn.end(output_tokens=1)
    with store.turn(source(BOB)) as bob:
        bob.end(output_tokens=1)


def test_a_switch_in_mid_turn_makes_the_running_turn_exclude_the_next(store: SessionStore) -> None:
    running = begun(store, ADA)
    store.get_or_create_session(source(BOB))
    store.switch_session(key(BOB), running.entry.session_id)
    with pytest.raises(TurnBusy):
        begun(store, BOB)
    running.update(output_tokens=1)
    running.end()
    begun(store, BOB).end()


def test_a_third_lane_is_excluded_too(store: SessionStore) -> None:
    session_id = shared(store)
    turn = begun(store, BOB)
    store.get_or_create_session(source(CAY))
    store.switch_session(key(CAY), session_id)
    for other in (ADA, CAY):
        with pytest.raises(TurnBusy):
            begun(store, other)
    turn.end()
    begun(store, CAY).end()


@pytest.mark.parametrize("name", [BOB, CAY, "dan", "eve"])
def test_an_imported_lane_is_excluded_by_a_stored_one(store: SessionStore, name: str) -> None:
    turn = begun(store, ADA)
    row = aged(name, DAY).model_copy(update={"session_id": turn.entry.session_id})
    put(store, [row])
    with pytest.raises(TurnBusy):
        begun(store, name)
    turn.end()
    begun(store, name).end()


def test_a_turn_that_waits_for_a_shared_id_in_vain_leaves_no_trace(store: SessionStore) -> None:
    shared(store)
    turn = begun(store, ADA)
    with pytest.raises(TurnBusy):
        begun(store, BOB, "m-1", wait=0.05)
    turn.end()
    begun(store, BOB, "m-1").end()
    begun(store, ADA).end()


def test_a_lane_that_leaves_the_shared_id_is_free(store: SessionStore) -> None:
    shared(store)
    store.reset_session(key(BOB))
    turn = begun(store, ADA)
    begun(store, BOB).end()
    turn.end()


def test_the_lock_of_a_dead_holder_lapses_and_its_late_writes_are_refused(
    stores: ClockedStores,
) -> None:
    store = stores.open()
    shared(store)
    lost = begun(store, ADA, "m-1")
    stores.lapse()
    turn = begun(store, BOB)
    with pytest.raises(TurnLost):
        lost.update(output_tokens=1)
    with pytest.raises(TurnLost):
        lost.end(output_tokens=1)
    ada = store.get_session(key(ADA))
    assert ada is not None
    assert (ada.resume_reason, ada.total_tokens) == ("replica_lost", 0)
    turn.end()
    begun(store, ADA, "m-1").end()


def test_a_holder_whose_lock_alone_lapsed_is_refused_before_another_has_it(
    stores: ClockedStores,
) -> None:
    """It renewed its lane, and could not reach where the lock lives."""
    store = stores.open()
    session_id = shared(store)
    turn = begun(store, ADA)
    home = stores.space.home_of_id(session_id)
    overdue = to_ms(stores.clock.now()) - 1
    stores.client.zadd(home.prefix + "locks", {session_id: overdue})
    assert turn.update(output_tokens=1).total_tokens == 1
    other = begun(store, BOB)
    with pytest.raises(TurnLost):
        turn.update(output_tokens=1)
    other.end()


def test_a_recovered_turn_gives_the_lock_back(stores: ClockedStores) -> None:
    store = stores.open()
    session_id = shared(store)
    begun(store, ADA)
    stores.lapse()
    assert store.recover_turns() == 1
    home = stores.space.home_of_id(session_id)
    assert stores.client.exists(home.lock(session_id)) == 0


def test_switching_back_and_forth_keeps_lanes_apart(store: SessionStore) -> None:
    own = store.get_or_create_session(source(BOB)).session_id
    session_id = shared(store)
    assert store.switch_session(key(BOB), own) is not None
    turn = begun(store, ADA)
    begun(store, BOB).end()
    store.switch_session(key(BOB), session_id)
    with pytest.raises(TurnBusy):
        begun(store, BOB)
    turn.end()


def test_a_switch_of_an_unknown_key_marks_nobody(store: SessionStore) -> None:
    before = store.get_or_create_session(source(ADA))
    assert store.switch_session(key(BOB), before.session_id) is None
    assert store.get_session(key(ADA)) == before
