"""A conversation goes on under another session id: its turn too, and those who share the new id."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from redisstore import SessionId, SessionStore, TurnBusy, TurnLost
from redisstore.calls import leases
from redisstore.fields import to_ms
from tests.conftest import OpenStore, Site
from tests.entries import key, source
from tests.servers import wait_until
from tests.turns import LEASE, ClockedStores, begun, direct_client

ADA, BOB, CAY = "ada", "bob", "cay"
"""In three partitions, where there are so many."""
NEW = SessionId("20260101_000000_0123456789ab")


@pytest.fixture
def stores(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


def continued(store: SessionStore, name: str = ADA, session_id: SessionId = NEW) -> None:
    """Let the conversation of a lane go on under another id."""
    entry = store.amend_session(key(name), {"session_id": session_id})
    assert entry is not None
    assert entry.session_id == session_id


def bound(store: SessionStore, name: str, session_id: SessionId = NEW) -> None:
    """Bind a lane to an id."""
    store.get_or_create_session(source(name))
    store.switch_session(key(name), session_id)


def is_locked(stores: ClockedStores, session_id: SessionId) -> bool:
    lock = stores.space.home_of_id(session_id).lock(session_id)
    return bool(stores.client.exists(lock))


def busy(store: SessionStore, name: str) -> bool:
    """Whether a turn has to wait; one that has not is ended at once."""
    try:
        begun(store, name).end()
    except TurnBusy:
        return True
    return False


def test_it_is_found_under_the_new_id_only_and_keeps_what_it_has(store: SessionStore) -> None:
    first = store.get_or_create_session(source(ADA))
    store.update_session(key(ADA), 5, input_tokens=7)
    store.mark_resume_pending(key(ADA), "why")
    before = store.get_session(key(ADA))
    assert before is not None
    entry = store.amend_session(key(ADA), {"session_id": NEW, "display_name": "Ada"})
    assert entry == before.model_copy(
        update={"session_id": NEW, "display_name": "Ada", "version": before.version + 1}
    )
    assert store.lookup_by_session_id(NEW) == entry
    assert store.lookup_by_session_id(first.session_id) is None
    assert store.get_or_create_session(source(ADA)).session_id == NEW


def test_a_reader_is_told_that_it_was_continued(store: SessionStore) -> None:
    first = store.get_or_create_session(source(ADA))
    store.amend_session(key(ADA), {"display_name": "Ada"})
    continued(store)
    continued(store)
    (event,) = [
        one for one in store.events(since="oldest", idle_timeout=0) if one.kind != "created"
    ]
    assert (event.kind, event.reason, event.session_key) == ("switched", "continued", key(ADA))
    assert (event.session_id, event.old_session_id) == (NEW, first.session_id)


def test_a_turn_that_runs_goes_on(store: SessionStore) -> None:
    turn = begun(store, ADA, "m-1")
    continued(store)
    assert turn.update(output_tokens=1).session_id == NEW
    continued(store, session_id=SessionId("and on"))
    (running,) = store.list_turns()
    assert (running.message_id, running.fence) == ("m-1", turn.fence)
    ended = turn.end(output_tokens=2)
    assert (ended.session_id, ended.total_tokens) == ("and on", 3)
    assert not busy(store, ADA)


def test_a_stale_turn_does_not_come_back_to_life(store: SessionStore) -> None:
    turn = begun(store, ADA)
    old = turn.entry.session_id
    store.reset_session(key(ADA))
    continued(store, session_id=old)
    assert turn.end().session_id == old
    entry = store.get_session(key(ADA))
    assert entry is not None
    assert entry.is_fresh_reset


def test_the_next_turn_waits_for_one_of_another_lane_that_has_the_new_id(
    store: SessionStore,
) -> None:
    store.get_or_create_session(source(ADA))
    bound(store, BOB)
    turn = begun(store, BOB)
    continued(store)
    assert busy(store, ADA)
    turn.end(output_tokens=1)
    assert not busy(store, ADA)


def test_a_turn_that_goes_on_excludes_those_of_lanes_that_have_the_new_id(
    stores: ClockedStores,
) -> None:
    store = stores.open()
    bound(store, BOB)
    turn = begun(store, ADA)
    continued(store)
    assert is_locked(stores, NEW)
    assert busy(store, BOB)
    turn.update(output_tokens=1)
    turn.end(output_tokens=1)
    assert not is_locked(stores, NEW)
    assert not busy(store, BOB)


def test_a_turn_that_went_on_excludes_those_of_lanes_that_come_later(
    stores: ClockedStores,
) -> None:
    store = stores.open()
    turn = begun(store, ADA)
    continued(store)
    bound(store, BOB)
    assert busy(store, BOB)
    turn.end(output_tokens=1)
    assert not is_locked(stores, NEW)
    assert not busy(store, BOB)


def test_two_turns_that_run_never_meet_on_one_id(store: SessionStore) -> None:
    bound(store, BOB)
    other, turn = begun(store, BOB), begun(store, ADA)
    before = store.get_session(key(ADA))
    with pytest.raises(TurnBusy, match="tester"):
        continued(store)
    assert store.get_session(key(ADA)) == before
    other.end()
    turn.update(output_tokens=1)
    continued(store)
    assert busy(store, BOB)
    turn.end()


def test_the_old_id_is_free_for_those_who_stay(stores: ClockedStores) -> None:
    store = stores.open()
    old = store.get_or_create_session(source(ADA)).session_id
    bound(store, BOB, old)
    turn = begun(store, ADA)
    assert busy(store, BOB)
    continued(store)
    assert not is_locked(stores, old)
    staying = begun(store, BOB)
    turn.end(output_tokens=1)
    assert is_locked(stores, old)
    staying.end()
    assert not is_locked(stores, old)


@pytest.mark.parametrize("end", ["raises", "lapses"])
def test_a_turn_that_went_on_and_ends_badly_gives_the_new_id_back(
    stores: ClockedStores, end: str
) -> None:
    store = stores.open()
    old = store.get_or_create_session(source(ADA)).session_id
    bound(store, BOB, old)
    bound(store, CAY)
    turn = begun(store, ADA, "m-1")
    continued(store)
    assert busy(store, CAY)
    if end == "raises":
        turn.__exit__(KeyError, KeyError(), None)
    else:
        stores.lapse()
        assert store.recover_turns() == 1
        entry = store.get_session(key(ADA))
        assert entry is not None
        assert (entry.session_id, entry.resume_reason) == (NEW, "replica_lost")
    assert not is_locked(stores, old)
    assert not is_locked(stores, NEW)
    assert not busy(store, CAY)
    begun(store, ADA, "m-1").end()


def test_a_turn_that_lapsed_before_it_was_found_leaves_its_mark_on_the_new_id(
    stores: ClockedStores,
) -> None:
    store = stores.open()
    old = store.get_or_create_session(source(ADA)).session_id
    bound(store, BOB, old)
    turn = begun(store, ADA)
    stores.lapse()
    continued(store)
    with pytest.raises(TurnLost):
        turn.update(output_tokens=1)
    assert store.recover_turns() == 1
    entry = store.get_session(key(ADA))
    assert entry is not None
    assert (entry.session_id, entry.resume_pending) == (NEW, True)
    assert not is_locked(stores, old)


def test_a_turn_that_went_on_is_renewed_where_it_is(stores: ClockedStores) -> None:
    store = stores.open()
    old = store.get_or_create_session(source(ADA)).session_id
    bound(store, BOB, old)
    bound(store, CAY)
    turn = begun(store, ADA)
    held = turn.lease
    continued(store)
    for _ in range(3):
        stores.clock.advance(LEASE / 2)
        renewed = store._complete(lambda context: leases.renew(context, [held]))
        assert renewed[held] == stores.clock.now() + LEASE
    assert not is_locked(stores, old)
    assert busy(store, CAY)
    assert not busy(store, BOB)
    turn.end(output_tokens=1)
    assert not is_locked(stores, NEW)


def test_who_takes_over_a_lock_that_a_turn_has_left_does_not_end_that_turn(
    stores: ClockedStores,
) -> None:
    """Whoever let it go on may have died before it gave the lock of the old id back."""
    store = stores.open()
    old = store.get_or_create_session(source(ADA)).session_id
    bound(store, BOB, old)
    turn = begun(store, ADA)
    home = stores.space.home_of_id(old)
    lock = stores.client.hgetall(home.lock(old))
    continued(store)
    stores.client.hset(home.lock(old), mapping=lock)
    stores.client.zadd(home.prefix + "locks", {old: to_ms(stores.clock.now()) - 1})
    begun(store, BOB).end(output_tokens=1)
    assert turn.update(output_tokens=1).session_id == NEW
    turn.end()


def test_a_turn_that_still_waits_for_its_session_goes_on_under_the_new_id(
    store: SessionStore,
) -> None:
    old = store.get_or_create_session(source(ADA)).session_id
    bound(store, BOB, old)
    other = begun(store, BOB)
    looks_often = store.config.model_copy(update={"turn_lease_ttl": 3.0})
    with SessionStore.from_url(config=looks_often) as waiting, ThreadPoolExecutor(1) as pool:
        turn = waiting.turn(source(ADA), "m-1", wait=60)
        served = pool.submit(turn.__enter__)
        wait_until(lambda: key(ADA) in [one.session_key for one in store.list_turns()])
        continued(store)
        assert served.result(timeout=60).entry.session_id == NEW
        assert turn.end(output_tokens=1).session_id == NEW
    other.end()
    assert not busy(store, BOB)


def test_lanes_part_and_meet(store: SessionStore) -> None:
    first = store.get_or_create_session(source(ADA)).session_id
    bound(store, BOB, first)
    for name, session_id in ((ADA, NEW), (BOB, NEW), (ADA, first), (BOB, first)):
        continued(store, name, session_id)
        together = store.get_session(key(ADA)), store.get_session(key(BOB))
        meet = len({entry.session_id for entry in together if entry}) == 1
        for one, other in ((ADA, BOB), (BOB, ADA)):
            turn = begun(store, one)
            assert busy(store, other) == meet
            turn.end()


def test_an_unknown_key_marks_nobody(store: SessionStore) -> None:
    before = store.get_or_create_session(source(ADA))
    assert store.amend_session(key(BOB), {"session_id": before.session_id}) is None
    assert store.get_session(key(ADA)) == before
