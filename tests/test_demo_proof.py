"""The demonstration's verdict, given books and stores that don't agree."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from redisstore.calls.audit import Fault
from redisstore.calls.prune import PruneReport
from redisstore.demo import proof
from redisstore.demo.ledger import Ledger
from redisstore.demo.proof import Entries, Prune, Restart
from redisstore.demo.wire import Answered, Begun, Failed, Message
from redisstore.entry import SessionEntry
from redisstore.keys import SessionId, SessionKey
from redisstore.source import SessionSource

KEY, OTHER = SessionKey("agent:main:telegram:dm:1"), SessionKey("agent:main:telegram:dm:2")
ID = SessionId("20260101_000000_aaaaaaaaaaaa")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def message(number: int, tokens: int = 10) -> Message:
    return Message(
        number=number,
        source=SessionSource(platform="telegram", chat_id="1"),
        input_tokens=tokens,
        output_tokens=1,
        thinking=0,
    )


def entry(key: SessionKey = KEY, **fields: object) -> SessionEntry:
    made = SessionEntry(session_key=key, session_id=ID, created_at=NOW, updated_at=NOW, version=1)
    return made.model_copy(update=fields)


def stored(*entries: SessionEntry) -> Entries:
    return {one.session_key: one for one in entries}


def handle(
    ledger: Ledger,
    number: int,
    replica: str = "gateway-1",
    *,
    session_id: SessionId = ID,
    created: bool = False,
    answered: bool = True,
) -> None:
    """Book one message of ten input tokens and one output token."""
    ledger.note_sent(KEY, message(number))
    begun = Begun(number=number, session_key=KEY, session_id=session_id, created=created)
    ledger.note(replica, begun)
    if answered:
        ledger.note(replica, Answered(number=number, session_id=session_id))


@pytest.fixture
def ledger() -> Ledger:
    """Two messages of one new person, handled by two replicas."""
    ledger = Ledger()
    handle(ledger, 1, "gateway-1", created=True)
    handle(ledger, 2, "gateway-2")
    return ledger


SOUND = stored(entry(input_tokens=20, output_tokens=2))


def test_sound_books_hold(ledger: Ledger) -> None:
    assert proof.all_answered(ledger).holds
    assert proof.one_session_each(ledger, {}, SOUND, [KEY]).holds
    assert proof.no_lost_count(ledger, {}, SOUND).holds


def test_a_message_without_an_answer_is_a_problem(ledger: Ledger) -> None:
    ledger.note_sent(KEY, message(3))

    assert proof.all_answered(ledger).problems == ("1 messages were neither answered nor refused",)


def test_a_refused_message_is_a_problem(ledger: Ledger) -> None:
    ledger.note_sent(KEY, message(3))
    ledger.note("gateway-1", Failed(number=3, error="StoreUnavailable: away"))

    assert proof.all_answered(ledger).problems == ("gateway-1: StoreUnavailable: away",)


def test_what_died_with_a_replica_is_no_missing_answer(ledger: Ledger) -> None:
    ledger.note_sent(KEY, message(3))
    ledger.note_killed("gateway-1", {3: message(3)})

    check = proof.all_answered(ledger)
    assert check.holds
    assert check.numbers.startswith("2 of 3; the other 1 were in flight in gateway-1")


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


@pytest.mark.parametrize(
    ("found", "holds"), [((20, 2), True), ((30, 3), True), ((25, 2), False), ((30, 2), False)]
)
def test_a_message_in_flight_at_the_kill_counts_wholly_or_not_at_all(
    ledger: Ledger, found: tuple[int, int], holds: bool
) -> None:
    handle(ledger, 3, answered=False)
    ledger.note_killed("gateway-1", {3: message(3)})
    after = stored(entry(input_tokens=found[0], output_tokens=found[1]))

    assert proof.no_lost_count(ledger, {}, after).holds is holds


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


def test_marks_belong_to_the_killed_replica_alone(ledger: Ledger) -> None:
    marked = stored(entry(resume_reason="restart_interrupted"), entry(OTHER))
    mine, both = frozenset({KEY}), frozenset({KEY, OTHER})

    def holds(restart: Restart) -> bool:
        return proof.marked_its_own(restart, marked, ledger).holds

    assert holds(Restart("gateway-1", mine, marked=1))
    assert not holds(Restart("gateway-1", mine, marked=2))
    assert not holds(Restart("gateway-1", frozenset(), marked=1))
    assert not holds(Restart("gateway-1", both, marked=1))


def test_a_session_that_another_replica_took_over_needs_no_mark(ledger: Ledger) -> None:
    restart = Restart("gateway-1", frozenset({KEY}), marked=0)
    ledger.note_killed("gateway-1", {})
    assert not proof.marked_its_own(restart, SOUND, ledger).holds

    handle(ledger, 3, "gateway-2")
    assert proof.marked_its_own(restart, SOUND, ledger).holds


def test_what_the_audit_finds_is_a_problem() -> None:
    check = proof.nothing_to_repair([Fault("{redisstore}:active member x", "no entry")], SOUND)

    assert check.problems == ("{redisstore}:active member x: no entry",)
