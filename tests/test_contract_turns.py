"""What a turn promises, through both faces: one message at a time, handled once, fenced."""

from __future__ import annotations

import pytest

from redisstore import (
    DuplicateMessage,
    InvalidInput,
    ModelOverride,
    SessionResetPolicy,
    SessionStore,
    StaleWrite,
    TurnBusy,
    TurnLost,
)
from tests.conftest import OpenStore
from tests.entries import DAY, NOW, aged, key, put, source
from tests.turns import begun

ADA = key("ada")


def test_a_turn_opens_a_session_counts_and_is_done(store: SessionStore) -> None:
    with store.turn(source("ada"), "m-1") as turn:
        assert turn.created
        assert turn.reset_reason is None
        assert turn.entry.session_key == ADA
        (running,) = store.list_turns()
        assert running.session_key == ADA
        assert running.replica == "tester"
        assert running.message_id == "m-1"
        assert running.fence == turn.fence
        assert not running.lapsed
        assert turn.update(9, input_tokens=2).total_tokens == 2
        assert turn.end(output_tokens=3, estimated_cost_usd="0.5").total_tokens == 5
    assert list(store.list_turns()) == []
    entry = store.get_session(ADA)
    assert entry is not None
    assert (entry.input_tokens, entry.output_tokens, entry.last_prompt_tokens) == (2, 3, 9)


def test_a_turn_of_a_known_session_goes_on_with_it(store: SessionStore) -> None:
    known = store.get_or_create_session(source("ada"))
    with store.turn(source("ada")) as turn:
        assert not turn.created
        assert turn.entry.session_id == known.session_id
        assert turn.entry.version == known.version + 1


def test_a_fence_only_grows(store: SessionStore) -> None:
    fences = []
    for name in ("ada", "ada", "bob", "ada"):
        with store.turn(source(name)) as turn:
            fences.append(turn.fence)
            assert turn.end().version > 1
    ours = [fences[0], fences[1], fences[3]]
    assert ours == sorted(set(ours))


def test_a_message_is_handled_once(store: SessionStore) -> None:
    with store.turn(source("ada"), "m-1"):
        with pytest.raises(DuplicateMessage) as running:
            begun(store, message_id="m-1")
        assert (running.value.state, running.value.replica) == ("running", "tester")
    with pytest.raises(DuplicateMessage) as done:
        begun(store, message_id="m-1")
    assert done.value.state == "done"
    assert done.value.at is not None
    assert store.get_session(ADA) is not None
    with store.turn(source("bob"), "m-1") as other_lane:
        assert other_lane.created


def test_an_exception_gives_the_message_up(store: SessionStore) -> None:
    with pytest.raises(ZeroDivisionError), store.turn(source("ada"), "m-1"):
        raise ZeroDivisionError
    with store.turn(source("ada"), "m-1") as again:
        again.end(output_tokens=1)
    entry = store.get_session(ADA)
    assert entry is not None
    assert entry.total_tokens == 1
    assert not entry.resume_pending


def test_who_does_not_wait_is_told_who_has_it(store: SessionStore) -> None:
    first = begun(store)
    with pytest.raises(TurnBusy, match="tester") as busy:
        begun(store, message_id="m-2")
    (running,) = store.list_turns()
    assert busy.value.lapses_at == running.lapses_at
    assert not busy.value.queue_full
    first.end()
    with store.turn(source("ada"), "m-2", wait=0):
        pass


def test_a_turn_that_waits_in_vain_leaves_the_line(store: SessionStore) -> None:
    first = begun(store)
    with pytest.raises(TurnBusy):
        begun(store, message_id="m-2", wait=0.05)
    (running,) = store.list_turns()
    assert running.waiting == 0
    first.end()


@pytest.mark.parametrize("counters", [{"output_tokens": 3}, {}], ids=["counted", "not counted"])
def test_a_reset_in_mid_turn_makes_its_writes_stale(
    store: SessionStore, counters: dict[str, int]
) -> None:
    turn = begun(store, message_id="m-1")
    reset = store.reset_session(ADA)
    assert reset is not None
    with pytest.raises(StaleWrite):
        turn.update(output_tokens=1)
    if counters:
        with pytest.raises(StaleWrite, match="not added"):
            turn.end(**counters)
    else:
        turn.end()
    after = store.get_session(ADA)
    assert after is not None
    assert after == reset
    with pytest.raises(DuplicateMessage):
        begun(store, message_id="m-1")
    begun(store, message_id="m-2").end()


def test_a_deleted_session_takes_its_turn_along(store: SessionStore) -> None:
    turn = begun(store, message_id="m-1")
    assert store.delete_session(ADA)
    with pytest.raises(TurnLost):
        turn.update(output_tokens=1)
    assert turn.lost
    with pytest.raises(TurnLost):
        turn.end()
    assert store.get_session(ADA) is None
    with store.turn(source("ada"), "m-1") as again:
        assert again.created


def test_any_write_can_be_made_under_a_turn(store: SessionStore) -> None:
    turn = begun(store)
    assert store.set_model_override(ADA, ModelOverride(model="m"), if_turn=turn)
    assert store.mark_resume_pending(ADA, "why", if_turn=turn)
    assert store.update_session(ADA, output_tokens=1, if_turn=turn)
    assert store.amend_session(ADA, {"total_tokens": 1}, if_turn=turn)
    turn.end()
    later = begun(store)
    for write in (
        lambda: store.update_session(ADA, output_tokens=1, if_turn=turn),
        lambda: store.suspend_session(ADA, if_turn=turn),
        lambda: store.reset_session(ADA, if_turn=turn),
        lambda: store.amend_session(ADA, {"total_tokens": 1}, if_turn=turn),
        lambda: store.delete_session(ADA, if_turn=turn),
    ):
        with pytest.raises(TurnLost):
            write()
    assert store.suspend_session(ADA, if_turn=later)
    later.end()


def test_an_ended_turn_is_over(store: SessionStore) -> None:
    with store.turn(source("ada")) as turn:
        turn.end(output_tokens=1)
        with pytest.raises(TurnLost, match="has ended"):
            turn.update(output_tokens=1)
        with pytest.raises(TurnLost, match="has ended"):
            turn.end()
    assert not turn.lost
    entry = store.get_session(ADA)
    assert entry is not None
    assert entry.total_tokens == 1


def test_what_a_reset_told_is_consumed_by_a_turn_that_ends_well(open_store: OpenStore) -> None:
    store = open_store(default_reset_policy=SessionResetPolicy(mode="idle", idle_minutes=60))
    put(store, [aged("ada", DAY, total_tokens=7)])
    first = begun(store, message_id="m-1")
    assert (first.created, first.reset_reason) == (True, "idle")
    first.__exit__(KeyError, KeyError(), None)
    with store.turn(source("ada"), "m-1") as second:
        assert (second.created, second.reset_reason) == (False, None)
        assert second.entry.was_auto_reset
        assert second.entry.reset_had_activity
    with store.turn(source("ada"), "m-2") as third:
        assert not third.entry.was_auto_reset
        assert third.entry.auto_reset_reason is None
    store.reset_session(ADA)
    with store.turn(source("ada")) as fresh:
        assert fresh.entry.is_fresh_reset
    entry = store.get_session(ADA)
    assert entry is not None
    assert not entry.is_fresh_reset


def test_an_interrupted_session_is_whole_again_after_a_turn(store: SessionStore) -> None:
    store.get_or_create_session(source("ada"))
    store.mark_resume_pending(ADA, "restart_timeout")
    with store.turn(source("ada")) as turn:
        assert turn.entry.resume_pending
        assert not turn.end().resume_pending
    entry = store.get_session(ADA)
    assert entry is not None
    assert entry.resume_reason is None


def test_a_prune_leaves_running_turns_alone(store: SessionStore) -> None:
    turn = begun(store)
    put(store, [aged("bob", 2 * DAY)])
    report = store.prune_old_entries(before=NOW + DAY)
    assert (report.removed, report.kept["running"]) == (1, 1)
    turn.end()
    assert store.prune_old_entries(before=NOW + DAY).removed == 1
    with pytest.raises(TurnLost):
        turn.update()


@pytest.mark.parametrize(
    ("message_id", "wait"),
    [("", None), ("\ud800", None), ("m" * 2000, None), ("m", -1), ("m", 1e9)],
)
def test_bad_arguments_are_named(store: SessionStore, message_id: str, wait: float | None) -> None:
    with pytest.raises(InvalidInput) as refused:
        store.turn(source("ada"), message_id, wait)
    assert refused.value.field == ("message_id" if wait is None else "wait")


def test_an_unknown_counter_is_named(store: SessionStore) -> None:
    with store.turn(source("ada")) as turn:
        with pytest.raises(InvalidInput, match="tokens_out"):
            turn.end(tokens_out=3)  # type: ignore[call-arg]
        with pytest.raises(InvalidInput, match="output_tokens"):
            turn.update(output_tokens=-1)
    assert list(store.list_turns()) == []


def test_message_ids_hold_anything_that_is_text(store: SessionStore) -> None:
    strange = ["a b", " ", "\n", "\0", "{x}", "é" * 40, "m-1 m-2"]
    for message_id in strange:
        with store.turn(source("ada"), message_id), pytest.raises(DuplicateMessage):
            begun(store, message_id=message_id)
    for message_id in strange:
        with pytest.raises(DuplicateMessage):
            begun(store, message_id=message_id)
