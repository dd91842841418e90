"""Lanes that come to share a session id while others move or die: never two turns at once."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from redisstore import SessionId, SessionStore, TurnBusy
from redisstore.calls import amendments, imports, sharing
from redisstore.calls.call import Conditions
from tests.entries import DAY, aged, key, put, source
from tests.halting import Halting
from tests.servers import BACKEND_NAMES
from tests.turns import begun

pytestmark = pytest.mark.parametrize("open_store", ["sync"], indirect=True)
"""What is tested takes steps of its own between those of the store for threads."""
ADA, BOB, CAY = "ada", "bob", "cay"
"""In three partitions, where there are so many."""


def opened(store: SessionStore, *names: str) -> list[SessionId]:
    return [store.get_or_create_session(source(name)).session_id for name in names]


def client(store: SessionStore) -> Any:
    return store._runner.connection.client


def holder(store: SessionStore, session_id: SessionId) -> str:
    """The token of the turn that has the lock of a session id."""
    lock = store._opening.context.space.home_of_id(session_id).lock(session_id)
    return str(client(store).hget(lock, "token").decode())


def test_a_stale_turn_does_not_take_the_lock_from_one_that_runs(store: SessionStore) -> None:
    stale = begun(store, ADA)
    session_id = stale.entry.session_id
    store.reset_session(key(ADA))
    opened(store, BOB, CAY)
    store.switch_session(key(BOB), session_id)
    running = begun(store, BOB)
    for name in (ADA, CAY):
        store.switch_session(key(name), session_id)
    assert holder(store, session_id) == running.token
    stale.end()
    with pytest.raises(TurnBusy):
        begun(store, CAY)
    running.update(output_tokens=1)
    running.end()
    begun(store, CAY).end()


def test_a_turn_that_runs_gets_the_lock_that_a_stale_one_has_kept(store: SessionStore) -> None:
    (session_id,) = opened(store, ADA)
    opened(store, BOB, CAY)
    store.switch_session(key(BOB), session_id)
    stale = begun(store, ADA)
    for name in (ADA, BOB):
        store.reset_session(key(name))
    store.switch_session(key(BOB), session_id)
    if store._opening.context.space.partition_count > 1:
        with pytest.raises(TurnBusy):
            begun(store, BOB)
        stale.end()
        return
    running = begun(store, BOB)
    store.switch_session(key(CAY), session_id)
    stale.end()
    with pytest.raises(TurnBusy):
        begun(store, CAY)
    running.update(output_tokens=1)
    running.end()


def bound_by_switch(store: SessionStore, name: str, session_id: SessionId) -> Halting:
    context = store._opening.context
    return Halting(store, sharing.switch(context, key(name), session_id, Conditions()))


def bound_by_amendment(store: SessionStore, name: str, session_id: SessionId) -> Halting:
    context = store._opening.context
    return Halting(
        store,
        amendments.amend(context, key(name), {"session_id": session_id}, Conditions()),
    )


@pytest.mark.parametrize("bind", [bound_by_switch, bound_by_amendment])
@pytest.mark.parametrize("calls", range(6))
@pytest.mark.parametrize("meanwhile", ["made", "reset", "imported elsewhere"])
def test_a_lane_that_changes_in_the_middle_of_a_binding_is_excluded(
    store: SessionStore, bind: Any, calls: int, meanwhile: str
) -> None:
    (session_id,) = opened(store, ADA)
    if meanwhile != "made":
        opened(store, BOB)
    binding = bind(store, BOB, session_id)
    done, result = binding.steps(calls)
    if meanwhile == "made":
        opened(store, BOB)
    elif meanwhile == "reset":
        store.reset_session(key(BOB))
    else:
        store.reset_session(key(ADA))
        put(store, [aged(CAY, DAY).model_copy(update={"session_id": session_id})])
    result = result if done else binding.run()
    other = CAY if meanwhile == "imported elsewhere" else ADA
    lanes = [
        name
        for name in (other, BOB)
        if (entry := store.get_session(key(name))) is not None and entry.session_id == session_id
    ]
    for first, second in itertools.permutations(lanes, 2):
        turn = begun(store, first)
        with pytest.raises(TurnBusy):
            begun(store, second)
        turn.end()


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
@pytest.mark.parametrize("calls", range(5))
def test_an_import_that_dies_leaves_no_lanes_that_share_unseen(
    store: SessionStore, stored: bool, calls: int
) -> None:
    session_id = opened(store, ADA)[0] if stored else SessionId("of the import")
    names = [BOB, CAY] if stored else [ADA, BOB, CAY]
    rows = [aged(name, DAY).model_copy(update={"session_id": session_id}) for name in names]
    running = begun(store, ADA) if stored else None
    Halting(store, imports.sweep(store._opening.context, rows)).steps(calls)
    if running is not None:
        if store.get_session(key(BOB)) is not None:
            with pytest.raises(TurnBusy):
                begun(store, BOB)
        running.update(output_tokens=1)
        running.end()
    lanes = [name for name in (ADA, BOB, CAY) if store.get_session(key(name)) is not None]
    for first, second in itertools.permutations(lanes, 2):
        turn = begun(store, first)
        with pytest.raises(TurnBusy):
            begun(store, second)
        turn.end()


def test_an_import_marks_nobody_who_is_alone(store: SessionStore) -> None:
    rows = [aged(name, DAY) for name in (ADA, BOB, CAY)]
    put(store, rows)
    assert {verdict for _, verdict in store.import_sessions(rows)} == {"kept"}
    space = store._opening.context.space
    for name in (ADA, BOB, CAY):
        lane = key(name)
        assert client(store).hget(space.partition_of(lane).entry(lane), "id_home") is None


@pytest.mark.parametrize("site", BACKEND_NAMES, indirect=True)
def test_an_import_reads_the_ids_that_end_alike_once_a_call(store: SessionStore) -> None:
    rows = [
        aged(f"{number}", DAY).model_copy(update={"session_id": SessionId(f"{number} of the web")})
        for number in range(50)
    ]
    opened(store, ADA)
    client(store).config_resetstat()
    put(store, rows)
    commands = client(store).info("commandstats")
    scripts = sum(
        commands.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha")
    )
    assert commands["cmdstat_hgetall"]["calls"] <= 2 * scripts
