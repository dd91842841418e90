"""Locks of shared session ids: left behind, found by an audit, and giving out fences that grow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from redisstore import SessionId, SessionStore, TurnBusy
from redisstore.calls import amendments, leases, locks, sharing, turns
from redisstore.calls.call import Conditions
from redisstore.calls.turn_replies import Taken
from tests.entries import key, source
from tests.halting import Halting
from tests.turns import begun

pytestmark = pytest.mark.parametrize("open_store", ["sync"], indirect=True)
"""What is tested takes steps of its own between those of the store for threads."""
ADA, BOB, CAY = "ada", "bob", "cay"
"""In three partitions, where there are so many."""
NEW = SessionId("20260101_000000_0123456789ab")
SEVERAL = ("valkey-9.1/4", "cluster")
several = pytest.mark.parametrize("site", SEVERAL, indirect=True)


class Raw:
    """What no operation tells, or does."""

    def __init__(self, store: SessionStore) -> None:
        self.context = store._opening.context
        self.client: Any = store._runner.connection.client

    def lock(self, session_id: SessionId) -> tuple[str, bool]:
        """Who has a lock, and whether it is indexed."""
        home = self.context.space.home_of_id(session_id)
        token = self.client.hget(home.lock(session_id), "token")
        score = self.client.zscore(home.prefix + "locks", session_id)
        return (token or b"").decode(), score is not None

    def overdue(self, session_id: SessionId) -> None:
        """Let the lock of an id have lapsed."""
        home = self.context.space.home_of_id(session_id)
        self.client.zadd(home.prefix + "locks", {session_id: 1})

    def ahead(self, name: str, seconds: int) -> None:
        """Let the clock of a lane's server have been ahead of the others."""
        home = self.context.space.partition_of(key(name))
        self.client.set(home.prefix + "fence", int((time.time() + seconds) * 1e6))


def shared(store: SessionStore) -> SessionId:
    """Bind Bob's lane to the id of Ada's."""
    session_id = store.get_or_create_session(source(ADA)).session_id
    store.get_or_create_session(source(BOB))
    store.switch_session(key(BOB), session_id)
    return session_id


def deleted(store: SessionStore) -> SessionId:
    session_id = shared(store)
    begun(store, ADA)
    store.delete_session(key(ADA))
    return session_id


def recovered_by_one_that_died(store: SessionStore) -> SessionId:
    session_id = shared(store)
    begun(store, ADA)
    raw = Raw(store)
    home = raw.context.space.partition_of(key(ADA))
    raw.client.zadd(home.turns, {key(ADA): 1})
    Halting(store, leases.recover(raw.context, home)).steps(1)
    return session_id


def amended_by_one_that_died(store: SessionStore) -> SessionId:
    store.get_or_create_session(source(BOB))
    store.switch_session(key(BOB), NEW)
    begun(store, ADA)
    amending = amendments.amend(store._opening.context, key(ADA), {"session_id": NEW}, Conditions())
    Halting(store, amending).run(until="lock_session_id")
    return NEW


left_behind = pytest.mark.parametrize(
    "leave", [deleted, recovered_by_one_that_died, amended_by_one_that_died]
)


@left_behind
def test_a_lock_that_was_left_behind_is_dropped(
    store: SessionStore, leave: Callable[[SessionStore], SessionId]
) -> None:
    session_id, raw = leave(store), Raw(store)
    assert raw.lock(session_id)[0]
    store.recover_turns()
    assert raw.lock(session_id)[0]
    raw.overdue(session_id)
    store.recover_turns()
    assert raw.lock(session_id) == ("", False)


@left_behind
def test_a_lock_that_was_left_behind_goes_to_who_waits(
    store: SessionStore, leave: Callable[[SessionStore], SessionId]
) -> None:
    session_id, raw = leave(store), Raw(store)
    lease = begun_without_lock(store, BOB)
    waiting = store._run(lambda context: locks.lock_call(context, lease, limit=1))
    assert isinstance(waiting, Taken)
    raw.overdue(session_id)
    store.recover_turns()
    assert raw.lock(session_id) == (lease.token, True)


def begun_without_lock(store: SessionStore, name: str) -> Any:
    """Begin a turn on a lane that waits for its session id."""
    wanted: Any = store.turn(source(name), wait=60)._state.request
    running: Any = store._run(lambda context: turns._begin(context, wanted))
    return turns.lease_of(wanted, running)


def test_a_lock_whose_turn_runs_is_left_to_it(store: SessionStore) -> None:
    session_id, raw = shared(store), Raw(store)
    turn = begun(store, ADA)
    raw.overdue(session_id)
    store.recover_turns()
    assert raw.lock(session_id) == (turn.token, True)
    store._turns._renew([turn.lease])
    with pytest.raises(TurnBusy):
        begun(store, BOB)
    turn.end(output_tokens=1)


@pytest.mark.parametrize("until", ["recover_turns", "get_turn"])
def test_a_lock_that_was_taken_again_meanwhile_is_not_dropped(
    store: SessionStore, until: str
) -> None:
    session_id, raw = amended_by_one_that_died(store), Raw(store)
    raw.overdue(session_id)
    home = raw.context.space.home_of_id(session_id)
    sweep = Halting(store, leases.recover(raw.context, home))
    sweep.run(until=until)
    store.amend_session(key(ADA), {"session_id": NEW})
    token = raw.lock(session_id)[0]
    sweep.run()
    assert raw.lock(session_id) == (token, True)
    with pytest.raises(TurnBusy):
        begun(store, BOB)


@several
@pytest.mark.damages
def test_an_audit_finds_what_a_fail_over_has_forgotten(store: SessionStore) -> None:
    session_id, raw = shared(store), Raw(store)
    entry = raw.context.space.partition_of(key(ADA)).entry(key(ADA))
    raw.client.hdel(entry, "id_home")
    (fault,) = store.audit()
    assert fault.where == entry
    assert "shares its session id" in fault.problem
    assert [found.where for found in store.audit(repair=True)] == [entry]
    turn = begun(store, ADA)
    assert turn.entry.session_id == session_id
    with pytest.raises(TurnBusy):
        begun(store, BOB)


@pytest.mark.damages
def test_an_audit_tells_of_a_lock_that_nobody_drops(store: SessionStore) -> None:
    session_id, raw = deleted(store), Raw(store)
    raw.overdue(session_id)
    (fault,) = store.audit()
    assert session_id in fault.where
    assert "lapsed" in fault.problem
    assert len(list(store.audit(repair=True))) == 1
    assert raw.lock(session_id) == ("", False)


@several
@pytest.mark.parametrize("ahead", [ADA, BOB])
def test_the_fences_of_a_session_grow_whatever_clocks_say(store: SessionStore, ahead: str) -> None:
    session_id = store.get_or_create_session(source(ADA)).session_id
    store.get_or_create_session(source(BOB))
    Raw(store).ahead(ahead, 10)
    with store.turn(source(ADA)) as turn:
        fences = [turn.fence]
    store.switch_session(key(BOB), session_id)
    for name in (BOB, ADA, BOB):
        with store.turn(source(name)) as turn:
            fences.append(turn.fence)
    assert fences == sorted(set(fences))


@several
@pytest.mark.parametrize("end", [True, False], ids=["ended", "given up"])
def test_the_fences_of_a_lane_grow_when_it_leaves_a_shared_session(
    store: SessionStore, end: bool
) -> None:
    shared(store)
    Raw(store).ahead(ADA, 10)
    with store.turn(source(ADA)) as turn:
        turn.end()
    turn = begun(store, BOB)
    if end:
        turn.end()
    else:
        turn.give_up()
    store.reset_session(key(BOB))
    assert begun(store, BOB).fence > turn.fence


def test_marking_again_changes_nothing(store: SessionStore) -> None:
    session_id = shared(store)
    before = [store.get_session(key(name)) for name in (ADA, BOB)]
    Halting(store, sharing.share(store._opening.context, session_id)).run()
    assert [store.get_session(key(name)) for name in (ADA, BOB)] == before
