"""The demonstration's verdict, given books and stores that don't agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from redisstore.calls.audit import Fault
from redisstore.calls.prune import PruneReport
from redisstore.demo import proof
from redisstore.demo.ledger import Ledger
from redisstore.demo.proof import Entries, Prune
from redisstore.demo.wire import Failed, Refused
from redisstore.keys import SessionId, SessionKey
from tests.demo_books import (
    ID,
    KEY,
    OTHER,
    answer,
    begin,
    deliver,
    entry,
    handle,
    stored,
    turn_left,
)


@pytest.fixture
def ledger() -> Ledger:
    """Two messages of one new person, handled by two replicas."""
    ledger = Ledger()
    handle(ledger, 1, "gateway-1", created=True)
    handle(ledger, 2, "gateway-2")
    return ledger


@pytest.fixture
def cut_off(ledger: Ledger) -> Ledger:
    """Then a third message, in whose turn its replica is killed."""
    third = deliver(ledger, 3)
    begin(ledger, 3)
    ledger.note_killed("gateway-1", [third], [turn_left(3)])
    return ledger


SOUND = stored(entry(input_tokens=20, output_tokens=2))


def test_sound_books_hold(ledger: Ledger) -> None:
    assert proof.answered_once(ledger).holds
    assert proof.one_turn_at_a_time(ledger).holds
    assert proof.resumed_after_kills(ledger).holds
    assert proof.one_session_each(ledger, {}, SOUND, [KEY]).holds
    assert proof.no_lost_count(ledger, {}, SOUND).holds


def test_a_cut_off_turn_on_a_shared_session_is_not_the_turn_after_itself(ledger: Ledger) -> None:
    third = deliver(ledger, 3)
    begin(ledger, 3, fence=30)  # its lane's is 3
    ledger.note_killed("gateway-1", [third], [turn_left(3)])
    deliver(ledger, 3, delivery=40)
    begin(ledger, 40, "gateway-2", resumed=True)
    answer(ledger, 40, "gateway-2")
    assert proof.resumed_after_kills(ledger).holds


def test_what_was_cut_off_and_then_answered_is_sound(cut_off: Ledger) -> None:
    deliver(cut_off, 3, delivery=4)
    begin(cut_off, 4, "gateway-2", resumed=True)
    answer(cut_off, 4, "gateway-2")

    assert proof.answered_once(cut_off).holds
    assert proof.one_turn_at_a_time(cut_off).holds
    assert proof.resumed_after_kills(cut_off).holds
    assert proof.no_lost_count(cut_off, {}, stored(entry(input_tokens=30, output_tokens=3))).holds
    assert [kill.replica for kill in cut_off.mended()] == ["gateway-1"]


@pytest.mark.parametrize("why", ["running", "waiting", "busy", "lost"])
def test_a_message_without_an_answer_is_a_problem(
    ledger: Ledger, why: Literal["running", "waiting", "busy", "lost"]
) -> None:
    deliver(ledger, 3)
    ledger.note("gateway-1", Refused(delivery=3, why=why))
    deliver(ledger, 3, delivery=4)

    assert proof.answered_once(ledger).problems == (
        f"message-3 of {KEY}: expected 1 answer, found none (deliveries: 2)",
    )


def test_a_message_that_died_with_its_replica_is_a_problem(cut_off: Ledger) -> None:
    assert proof.answered_once(cut_off).problems == (
        f"message-3 of {KEY}: expected 1 answer, found none (deliveries: 1)",
    )
    assert cut_off.mended() == []


def test_a_message_that_was_answered_twice_is_a_problem(ledger: Ledger) -> None:
    deliver(ledger, 2, delivery=3)
    begin(ledger, 3)
    answer(ledger, 3)

    assert proof.answered_once(ledger).problems == (
        f"message-2 of {KEY}: expected 1 answer, found 2, by gateway-2, gateway-1",
    )


def test_an_answer_that_nobody_gave_is_a_problem(ledger: Ledger) -> None:
    deliver(ledger, 3)
    ledger.note("gateway-1", Refused(delivery=3, why="done"))

    assert proof.answered_once(ledger).problems == (
        f"message-3 of {KEY}: the store calls it done, but no gateway has answered it",
    )


def test_an_answer_that_its_replica_had_no_time_to_report_is_known_from_the_store(
    cut_off: Ledger,
) -> None:
    deliver(cut_off, 3, delivery=4)
    cut_off.note("gateway-2", Refused(delivery=4, why="done"))

    check = proof.answered_once(cut_off)
    assert check.holds
    assert "1 answered by a gateway that died before it could say so" in check.numbers


def test_a_message_that_could_not_be_handled_is_a_problem(ledger: Ledger) -> None:
    deliver(ledger, 3)
    ledger.note("gateway-1", Failed(delivery=3, error="StoreUnavailable: away"))

    assert proof.answered_once(ledger).problems == (
        f"message-3 of {KEY}: gateway-1: StoreUnavailable: away",
    )


def test_a_turn_that_began_before_the_one_before_had_ended_is_a_problem(ledger: Ledger) -> None:
    deliver(ledger, 3)
    begin(ledger, 3, at=2.25)
    answer(ledger, 3)

    assert proof.one_turn_at_a_time(ledger).problems == (
        f"{KEY}: turn 3 began 0.250 s before 2 ended",
    )


def test_turns_that_come_in_another_order_than_their_fences_are_a_problem(ledger: Ledger) -> None:
    deliver(ledger, 3)
    begin(ledger, 3, fence=4)
    answer(ledger, 3)
    deliver(ledger, 4)
    begin(ledger, 4, fence=3)
    answer(ledger, 4)

    (problem,) = proof.one_turn_at_a_time(ledger).problems
    assert problem == f"{KEY}: turn 4 began 1.500 s before 3 ended"


def test_a_fence_that_is_given_out_twice_is_a_problem(ledger: Ledger) -> None:
    deliver(ledger, 3)
    begin(ledger, 3, fence=2)

    (problem,) = proof.one_turn_at_a_time(ledger).problems
    assert problem == f"{KEY}: two turns were given the fence 2"


def test_a_lost_turn_whose_session_was_not_marked_is_a_problem(cut_off: Ledger) -> None:
    deliver(cut_off, 3, delivery=4)
    begin(cut_off, 4, "gateway-2", resumed=False)

    (problem,) = proof.resumed_after_kills(cut_off).problems
    assert problem == f"{KEY}: turn 4 was not told that 3 was lost"


def test_a_lost_turn_whose_session_did_not_go_on_is_a_problem(cut_off: Ledger) -> None:
    (problem,) = proof.resumed_after_kills(cut_off).problems
    assert problem == f"{KEY}: no turn came after 3, which was cut off"


def test_a_mark_on_a_session_without_a_lost_turn_is_a_problem(ledger: Ledger) -> None:
    deliver(ledger, 3)
    begin(ledger, 3, resumed=True)

    (problem,) = proof.resumed_after_kills(ledger).problems
    assert problem == f"{KEY}: turn 3 was told of a lost turn, but none before it was lost"


@pytest.mark.parametrize("where", ["a reply", "before", "after"])
def test_a_second_session_id_is_a_problem_wherever_it_shows(ledger: Ledger, where: str) -> None:
    second = SessionId("second")
    if where == "a reply":
        handle(ledger, 3, session_id=second)
    before = stored(entry(session_id=second)) if where == "before" else {}
    after = stored(entry(session_id=second)) if where == "after" else SOUND

    (problem,) = proof.one_session_each(ledger, before, after, [KEY]).problems
    assert problem == f"{KEY}: expected 1 session id, found {ID}, second"


@pytest.mark.parametrize("extra", [True, False])
def test_a_session_created_twice_or_never_is_a_problem(extra: bool) -> None:
    ledger = Ledger()
    for number in (1, 2):
        handle(ledger, number, created=extra)

    (problem,) = proof.one_session_each(ledger, {}, SOUND, [KEY]).problems
    assert problem == f"{ID}: expected 1 creator, found {2 if extra else 0}"


@pytest.mark.parametrize(("fence", "holds"), [(1, True), (2, False), (None, False)])
def test_only_a_turn_that_died_before_its_report_may_have_created_a_session_unsaid(
    fence: int | None, holds: bool
) -> None:
    ledger = Ledger()
    first = deliver(ledger, 1)
    ledger.note_killed("gateway-1", [first], [turn_left(fence)])
    handle(ledger, 2)

    assert proof.one_session_each(ledger, {}, SOUND, [KEY]).holds is holds


@pytest.mark.parametrize(("input_tokens", "output_tokens"), [(19, 2), (21, 2), (20, 1), (0, 0)])
def test_a_count_that_is_off_by_anything_is_a_problem(
    ledger: Ledger, input_tokens: int, output_tokens: int
) -> None:
    after = stored(entry(input_tokens=input_tokens, output_tokens=output_tokens))

    (problem,) = proof.no_lost_count(ledger, {}, after).problems
    assert problem == (
        f"{KEY}: expected 20 input and 2 output tokens, found {input_tokens} and {output_tokens}"
    )


def test_what_an_imported_session_had_counted_before_is_not_the_demos(ledger: Ledger) -> None:
    before = stored(entry(input_tokens=100))
    after = stored(entry(input_tokens=120, output_tokens=2))

    assert proof.no_lost_count(ledger, before, after).holds


@pytest.mark.parametrize("again", [True, False])
def test_a_message_that_was_delivered_again_counts_once(cut_off: Ledger, again: bool) -> None:
    deliver(cut_off, 3, delivery=4)
    begin(cut_off, 4, "gateway-2", resumed=True)
    answer(cut_off, 4, "gateway-2")
    found = entry(input_tokens=40, output_tokens=4) if again else entry(input_tokens=30)

    assert not proof.no_lost_count(cut_off, {}, stored(found)).holds


def test_a_message_without_an_answer_does_not_count(cut_off: Ledger) -> None:
    counted = stored(entry(input_tokens=30, output_tokens=3))

    assert proof.no_lost_count(cut_off, {}, SOUND).holds
    assert not proof.no_lost_count(cut_off, {}, counted).holds


@pytest.mark.parametrize(
    ("removed", "left"),
    [({KEY}, {OTHER}), (set(), set()), ({KEY, OTHER}, set()), ({OTHER}, {KEY, OTHER})],
)
def test_anything_but_the_expected_prune_is_a_problem(
    removed: set[SessionKey], left: set[SessionKey]
) -> None:
    report = PruneReport(removed=len(removed))
    prune = Prune(frozenset({OTHER}), frozenset(removed), report, report)

    before = stored(entry(KEY), entry(OTHER))
    after = stored(*map(entry, left))
    assert not proof.pruned_exactly(prune, before, after, Ledger()).holds


def test_a_dry_run_that_announced_something_else_is_a_problem() -> None:
    report = PruneReport(removed=1)
    prune = Prune(frozenset({OTHER}), frozenset({OTHER}), replace(report, removed=2), report)

    check = proof.pruned_exactly(prune, stored(entry(KEY), entry(OTHER)), stored(entry()), Ledger())
    assert check.problems == ("the dry run announced 2, the prune removed 1",)


def test_held_and_suspended_sessions_must_stay_what_they_are() -> None:
    def problems(after: Entries, held: list[SessionKey]) -> int:
        return len(proof.kept_what_lives(after, held, [KEY], [OTHER], PruneReport()).problems)

    suspended = entry(OTHER, suspended=True)
    assert problems(stored(entry(), suspended), [KEY]) == 0
    assert problems(stored(entry(), suspended), []) == 1
    assert problems(stored(suspended), [KEY]) == 1
    assert problems(stored(entry()), [KEY]) == 1
    assert problems(stored(entry(), entry(OTHER)), [KEY]) == 1


def test_what_the_audit_finds_is_a_problem() -> None:
    check = proof.nothing_to_repair([Fault("{redisstore}:active member x", "no entry")], SOUND)

    assert check.problems == ("{redisstore}:active member x: no entry",)
