"""Lanes that share a session id, while they are bound anew and others wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from redisstore import SessionId, SessionStore, StaleWrite, TurnBusy
from redisstore.calls import amendments, leases, turns
from redisstore.calls.call import Conditions
from redisstore.calls.turn_replies import Running
from tests.entries import key, source
from tests.halting import Halting
from tests.servers import wait_until
from tests.turns import begun

pytestmark = pytest.mark.parametrize("open_store", ["sync"], indirect=True)
"""What is tested takes steps of its own between those of the store for threads."""
ADA, BOB, CAY = "ada", "bob", "cay"
"""In three partitions, where there are so many."""


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def shared(store: SessionStore) -> SessionId:
    """Bind Bob's lane to the id of Ada's."""
    session_id = store.get_or_create_session(source(ADA)).session_id
    store.get_or_create_session(source(BOB))
    store.switch_session(key(BOB), session_id)
    return session_id


def has_lane(store: SessionStore, name: str) -> bool:
    """Whether a turn has this lane; it may still wait for its session."""
    return key(name) in [turn.session_key for turn in store.list_turns()]


def holder(store: SessionStore, session_id: SessionId) -> str:
    """The token of the turn that has the lock of a session id."""
    lock = store._opening.context.space.home_of_id(session_id).lock(session_id)
    client: Any = store._runner.connection.client
    return str(client.hget(lock, "token").decode())


NEW = SessionId("20260101_000000_0123456789ab")


def going_on(store: SessionStore, name: str) -> Halting:
    """Let a lane's conversation go on under the new id."""
    context = store._opening.context
    steps = amendments.amend(context, key(name), {"session_id": NEW}, Conditions())
    return Halting(store, steps)


def lock_of(store: SessionStore, session_id: SessionId) -> Any:
    home = store._opening.context.space.home_of_id(session_id)
    client: Any = store._runner.connection.client
    return client.hgetall(home.lock(session_id))


def overdue(store: SessionStore, session_id: SessionId) -> None:
    """Let the lock of a session id have lapsed."""
    client: Any = store._runner.connection.client
    client.zadd(
        store._opening.context.space.home_of_id(session_id).prefix + "locks", {session_id: 1}
    )


@pytest.mark.parametrize(("first", "second"), [(ADA, BOB), (BOB, ADA)])
def test_one_that_waits_does_not_get_in_when_a_third_lane_is_bound(
    store: SessionStore, pool: ThreadPoolExecutor, first: str, second: str
) -> None:
    session_id = shared(store)
    store.get_or_create_session(source(CAY))
    turn, waiting = begun(store, first), store.turn(source(second), wait=30)
    served = pool.submit(waiting.__enter__)
    wait_until(lambda: has_lane(store, second), message="the second has its lane")
    store.switch_session(key(CAY), session_id)
    assert holder(store, session_id) == turn.token
    assert not served.done()
    turn.end()
    served.result(timeout=30).end()


def test_a_turn_stays_stale_when_its_lane_comes_back_to_its_session(store: SessionStore) -> None:
    stale = begun(store, ADA)
    session_id = stale.entry.session_id
    store.reset_session(key(ADA))
    store.get_or_create_session(source(BOB))
    store.switch_session(key(BOB), session_id)
    turn = begun(store, BOB)
    store.switch_session(key(ADA), session_id)
    with pytest.raises(StaleWrite):
        stale.update(output_tokens=1)
    turn.update(output_tokens=1)
    with pytest.raises(StaleWrite):
        stale.end(output_tokens=1)
    turn.end()
    begun(store, ADA).end()


def test_fences_grow_in_the_order_in_which_lanes_have_the_session(store: SessionStore) -> None:
    shared(store)
    slow = store.turn(source(ADA), wait=0)
    request = slow._state.request
    assert isinstance(store._run(lambda context: turns._begin(context, request)), Running)
    with store.turn(source(BOB), wait=0) as quick:
        quick.update(output_tokens=1)
    with slow:
        assert slow.fence > quick.fence
        assert slow.update(output_tokens=1).output_tokens == 1
    assert begun(store, BOB).fence > slow.fence


def test_a_turn_that_ran_before_its_session_was_shared_has_the_smaller_fence(
    store: SessionStore,
) -> None:
    first = begun(store, ADA)
    store.get_or_create_session(source(BOB))
    store.switch_session(key(BOB), first.entry.session_id)
    fence = first.fence
    first.end()
    assert begun(store, BOB).fence > fence


def test_a_lock_that_lapsed_before_the_lane_was_bound_is_not_relied_on(
    store: SessionStore,
) -> None:
    """Whoever let the conversation go on was stopped between lock and lane."""
    store.get_or_create_session(source(BOB))
    store.switch_session(key(BOB), NEW)
    turn = begun(store, ADA)
    slow = going_on(store, ADA)
    slow.run(until="lock_session_id")
    overdue(store, NEW)
    other = begun(store, BOB)
    with pytest.raises(TurnBusy):
        slow.run()
    assert turn.update(output_tokens=1).session_id == turn.entry.session_id
    other.update(output_tokens=1)
    other.end()
    store.amend_session(key(ADA), {"session_id": NEW})
    with pytest.raises(TurnBusy):
        begun(store, BOB)
    turn.end(output_tokens=1)
    begun(store, BOB).end()


@pytest.mark.parametrize("followed", [False, True], ids=["alone", "followed by another"])
def test_a_turn_that_ended_before_its_lane_was_bound_keeps_no_lock(
    store: SessionStore, followed: bool
) -> None:
    store.get_or_create_session(source(BOB))
    store.switch_session(key(BOB), NEW)
    turn = begun(store, ADA)
    slow = going_on(store, ADA)
    slow.run(until="lock_session_id")
    turn.end()
    following = begun(store, ADA) if followed else None
    slow.run()
    assert bool(lock_of(store, NEW)) == followed
    if following is not None:
        with pytest.raises(TurnBusy):
            begun(store, BOB)
        following.end(output_tokens=1)
    begun(store, BOB).end()


def test_a_renewal_under_way_while_the_turn_goes_on_neither_loses_nor_locks_it(
    store: SessionStore,
) -> None:
    old = shared(store)
    turn = begun(store, ADA)
    for other in (None, BOB):
        context = store._opening.context
        renewal = Halting(store, leases.renew(context, [turn.lease]))
        renewal.run(until="renew_turns")
        going_on(store, ADA).run()
        bobs = begun(store, other) if other else None
        assert renewal.run()[turn.lease] is not None
        assert bool(lock_of(store, old)) == bool(bobs)
        if bobs is not None:
            bobs.end(output_tokens=1)
        assert turn.update(output_tokens=1).session_id == NEW
        if other is None:
            turn.end()
            store.amend_session(key(ADA), {"session_id": old})
            turn = begun(store, ADA)
    turn.end()
