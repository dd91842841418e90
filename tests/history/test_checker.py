"""The checker accepts histories as they should be, and finds each fault that was planted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .checker import History, violations
from .records import Operation, Pause

A, B = "gateway-a/1/t1", "gateway-b/1/t2"
MESSAGES = {("l", "m-1"), ("l", "m-2")}


def operation(number: int, kind: str, **facts: Any) -> Operation:
    fields = {
        "replica": "gateway-a",
        "number": number,
        "kind": kind,
        "lane": "l",
        "outcome": "ok",
        "invoked": 10 * number,
        "returned": 10 * number + 5,
        "session_id": "s-1",
        **facts,
    }
    return Operation(**fields)


def turn(
    number: int, token: str, message: str, fence: int, version: int, total: int, **facts: Any
) -> list[Operation]:
    """A turn of three writes, which adds 1 and then 4."""
    named = {"token": token, "message": message, "fence": fence, "replica": token.partition("/")[0]}
    named |= facts
    return [
        operation(number, "begin", version=version, total=total, **named),
        operation(number + 1, "update", version=version + 1, total=total + 1, tokens=1, **named),
        operation(number + 2, "end", version=version + 2, total=total + 5, tokens=4, **named),
    ]


CLEAN = [*turn(1, A, "m-1", 100, 1, 0), *turn(4, B, "m-2", 200, 4, 5)]
READ = operation(90, "read", version=6, total=10)
"""What the store says in the end."""


def found(operations: list[Operation], **facts: Any) -> list[str]:
    facts = {"messages": MESSAGES, **facts}
    return [fault.partition(":")[0] for fault in violations(History(operations, **facts))]


def changed(index: int, **facts: Any) -> list[Operation]:
    operations = list(CLEAN)
    operations[index] = replace(operations[index], **facts)
    return operations


def told_done(at: int, message: str = "m-1") -> Operation:
    """A redelivery that was answered: this message is done."""
    asked = operation(80, "begin", token=f"{B}9", message=message, session_id="", outcome="done")
    return replace(asked, invoked=at - 1, returned=at)


def test_a_clean_history_has_no_fault() -> None:
    assert found([*CLEAN, READ]) == []
    assert found([*CLEAN, told_done(CLEAN[2].returned + 1)]) == []


def test_what_a_killed_replica_did_not_hear_of_is_no_fault() -> None:
    unheard = [*CLEAN[:2], replace(CLEAN[2], outcome="unknown", version=0, total=0), *CLEAN[3:]]
    assert found([*unheard, READ, told_done(CLEAN[3].invoked)]) == []
    not_applied = [*unheard[:3], *turn(4, B, "m-2", 200, 3, 1), *turn(7, B + "3", "m-1", 300, 6, 6)]
    assert found([*not_applied, replace(READ, version=8, total=11)]) == []


# The end of the first turn was tried again when the second had begun and written.
LATE_END = replace(CLEAN[2], repeated=True, version=5, total=6)
LATE = [*CLEAN[:2], LATE_END, *CLEAN[3:]]


def test_a_write_that_was_answered_late_is_no_fault() -> None:
    assert found([*LATE, READ]) == []
    after_a_reset = operation(7, "reset", version=7, session_id="s-2")
    seen_then = replace(LATE_END, version=7, total=0, session_id="s-2")
    history = [*CLEAN[:2], seen_then, *CLEAN[3:], after_a_reset]
    assert found([*history, replace(READ, version=8, session_id="s-2", total=0)]) == []
    late_reset = replace(after_a_reset, repeated=True, version=8, total=0)
    begin = operation(8, "begin", version=8, session_id="s-2")
    assert found([*CLEAN, begin, late_reset]) == []


@pytest.mark.parametrize("total", [5, 7], ids=["lost", "counted twice"])
def test_a_wrong_count_in_a_late_answer_is_found(total: int) -> None:
    history = [*CLEAN[:2], replace(LATE_END, total=total), *CLEAN[3:]]
    assert "no_count_is_lost" in found([*history, READ])


def test_a_write_that_was_answered_late_and_is_lost_is_found() -> None:
    without = [replace(one, total=one.total - 4) for one in CLEAN[3:]]
    history = [*CLEAN[:2], replace(LATE_END, total=2), *without]
    assert "no_count_is_lost" in found([*history, replace(READ, total=6)])


def test_a_reset_begins_a_generation() -> None:
    reset = operation(3, "reset", token=A, message="m-1", fence=100, version=3, session_id="s-2")
    end = operation(4, "end", token=A, message="m-1", tokens=4, outcome="stale", session_id="")
    after = turn(5, B, "m-2", 200, 4, 0, session_id="s-2")
    history = [*CLEAN[:2], reset, end, *after]
    assert found([*history, replace(READ, session_id="s-2", total=5)]) == []
    by_another = replace(reset, token="", message="", fence=0)
    assert found([*CLEAN[:2], by_another, end, *after]) == []
    unheard = replace(by_another, outcome="unknown", version=0, session_id="")
    assert found([*CLEAN[:2], unheard, end, *after]) == []


def test_a_write_of_an_earlier_turn_after_a_later_one_is_found() -> None:
    late = replace(CLEAN[2], version=5)
    shifted = [replace(o, version=o.version + (o.version > 4)) for o in CLEAN[3:]]
    assert "turns_do_not_overlap" in found([*CLEAN[:2], late, *shifted])


def test_a_stale_write_after_nothing_but_a_begin_is_found() -> None:
    late = replace(CLEAN[2], version=4, total=5)
    begin = replace(CLEAN[3], version=3, total=1)
    assert "turns_do_not_overlap" in found([*CLEAN[:2], begin, late])


def test_a_fence_that_goes_back_is_found() -> None:
    back = [replace(write, fence=50) for write in CLEAN[3:]]
    assert found([*CLEAN[:3], *back]) == ["turns_do_not_overlap"]


def test_two_writes_of_one_version_are_found() -> None:
    assert "turns_do_not_overlap" in found(changed(3, version=3))


def on_other_lane(fence: int = 200, **facts: Any) -> list[Operation]:
    return turn(4, B, "m-2", fence, 1, 0, lane="k", **facts)


def test_turns_on_a_shared_id_that_interleave_are_found() -> None:
    messages = {("l", "m-1"), ("k", "m-2")}
    assert found([*CLEAN[:3], *on_other_lane()], messages=messages) == []
    begin, *writes = on_other_lane()
    between = replace(writes[0], invoked=CLEAN[1].returned + 1, returned=CLEAN[2].invoked - 1)
    inside = [begin, between, writes[1]]
    sentence = "turns_of_a_session_do_not_overlap"
    assert sentence in found([*CLEAN[:3], *inside], messages=messages)
    apart = [replace(write, session_id="s-9") for write in inside]
    assert found([*CLEAN[:3], *apart], messages=messages) == []


def test_fences_of_a_shared_id_that_go_back_are_found() -> None:
    messages = {("l", "m-1"), ("k", "m-2")}
    back = found([*CLEAN[:3], *on_other_lane(fence=50)], messages=messages)
    assert set(back) == {"fences_of_a_session_grow"}


def test_a_message_that_was_done_twice_is_found() -> None:
    twice = [*CLEAN, *turn(7, A + "3", "m-1", 300, 7, 10)]
    assert found(twice) == ["each_message_is_done_once"]
    unheard = [replace(o, outcome="unknown") if o.kind == "end" else o for o in CLEAN[:3]]
    told = told_done(CLEAN[3].invoked)
    again = [*unheard, *turn(4, B, "m-1", 200, 4, 5), told]
    assert found(again, messages=[("l", "m-1")]) == ["each_message_is_done_once"]


def test_a_message_that_was_never_done_is_found() -> None:
    assert found(CLEAN, messages={*MESSAGES, ("l", "m-3")}) == ["each_message_is_done_once"]
    assert "each_message_is_done_once" in found(changed(5, outcome="refused", version=0))
    assert "each_message_is_done_once" in found(changed(5, outcome="unknown", version=0))


def test_a_message_that_is_called_done_before_it_was_is_found() -> None:
    early = told_done(CLEAN[2].invoked - 1)
    assert "each_message_is_done_once" in found([*CLEAN, early])


@pytest.mark.parametrize("total", [4, 6], ids=["lost", "counted twice"])
def test_a_wrong_count_is_found(total: int) -> None:
    assert "no_count_is_lost" in found(changed(2, total=total))


@pytest.mark.parametrize("final", [9, 11], ids=["lost", "counted twice"])
def test_a_wrong_total_in_the_end_is_found(final: int) -> None:
    assert found([*CLEAN, replace(READ, total=final)]) == ["no_count_is_lost"]


def test_counts_that_outlive_a_reset_are_found() -> None:
    reset = operation(7, "reset", version=7, session_id="s-2", total=10)
    assert found([*CLEAN, reset]) == ["no_count_is_lost"]


def test_an_id_that_changes_without_a_reset_is_found() -> None:
    assert "one_session_id_a_generation" in found(changed(3, session_id="s-2"))
    assert "one_session_id_a_generation" in found([*CLEAN, replace(READ, session_id="s-2")])


def test_a_reset_that_keeps_the_id_is_found() -> None:
    reset = operation(7, "reset", version=7)
    assert found([*CLEAN, reset]) == ["one_session_id_a_generation"]


def test_a_turn_that_writes_to_the_session_after_its_own_is_found() -> None:
    reset = operation(3, "reset", version=3, session_id="s-2")
    late = replace(CLEAN[2], session_id="s-2", version=4, total=4, invoked=40, returned=45)
    assert found([*CLEAN[:2], reset, late], messages=()) == ["a_turn_keeps_its_session"]


def test_a_write_after_the_replica_was_away_is_found() -> None:
    away = Pause("gateway-a", stopped=CLEAN[0].returned + 1, woken=CLEAN[2].invoked - 1)
    assert found(CLEAN, pauses=[away]) == ["who_was_away_writes_nothing"]
    before = Pause("gateway-a", stopped=CLEAN[0].invoked - 2, woken=CLEAN[0].invoked - 1)
    assert found(CLEAN, pauses=[before]) == []


def queued(token: str, at: int) -> Operation:
    return operation(20, "queued", token=token, lane="", returned=at, invoked=at)


def test_who_came_later_and_went_first_is_found() -> None:
    # The second turn was known to wait before the first had even asked.
    early = [replace(o, invoked=o.invoked - 100) for o in CLEAN[3:4]]
    history = [*CLEAN[:3], *early, *CLEAN[4:], queued(B, CLEAN[0].invoked - 1)]
    assert found(history) == ["arrivals_are_served_in_order"]
    assert found(history, killed={"gateway-b/1"}) == []
    away = Pause("gateway-b", stopped=-50, woken=-40)
    assert found(history, pauses=[away]) == []
    stall = operation(30, "stall", lane="", replica="gateway-b", invoked=-50, returned=-40)
    assert found([*history, stall]) == []


def test_who_asked_before_the_other_was_known_to_wait_may_go_first() -> None:
    assert found([*CLEAN, queued(B, CLEAN[0].invoked + 1)]) == []
