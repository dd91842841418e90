"""Reads a history and says what should not be in it. Each check takes records and yields sentences.

Accepted writes of a lane are ordered by the version that the store gave each of them; nothing is
concluded from clocks where versions tell. Where lanes of different versions are compared, only what
had certainly ended before something else began counts as earlier.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from .records import Operation, Pause

__all__ = ["CHECKS", "History", "violations"]

WRITES = ("begin", "update", "end", "reset")


class History:
    """The records of a run, sorted for the checks."""

    def __init__(
        self,
        operations: Iterable[Operation],
        *,
        messages: Iterable[tuple[str, str]] = (),
        pauses: Sequence[Pause] = (),
        killed: Iterable[str] = (),
        shared: Iterable[frozenset[str]] = (),
        totals: Mapping[str, int] | None = None,
    ) -> None:
        self.operations = list(operations)
        self.messages = set(messages)
        self.pauses = pauses
        self.killed = frozenset(killed)
        """Tokens of processes that were killed, up to the last slash."""
        self.shared = tuple(shared)
        """Groups of lanes that share a session id."""
        self.totals = totals or {}
        """What the store says at the end: total tokens of each lane."""

    def writes(self) -> dict[str, list[Operation]]:
        """Accepted writes by lane, in the order of the store."""
        lanes: dict[str, list[Operation]] = defaultdict(list)
        for one in self.operations:
            if one.outcome == "ok" and one.kind in WRITES and one.version:
                lanes[one.lane].append(one)
        return {lane: sorted(some, key=lambda w: w.version) for lane, some in lanes.items()}


def turns_do_not_overlap(history: History) -> Iterator[str]:
    """Writes of a lane come turn by turn: their fences never go back."""
    for lane, writes in history.writes().items():
        for one, after in pairwise(writes):
            if after.version == one.version:
                yield f"{lane}: version {one.version} was given to two writes"
            if after.fence < one.fence:
                yield f"{lane}: fence {after.fence} wrote after {one.fence} had"


def shared_turns_do_not_overlap(history: History) -> Iterator[str]:
    """A turn on one lane writes nothing between two writes of a turn on another."""
    for group in history.shared:
        spans: dict[str, tuple[int, int, str]] = {}
        writes = [w for lane, some in history.writes().items() if lane in group for w in some]
        for write in writes:
            if write.kind == "begin":
                continue  # it has its lane then, and not yet the id
            first, last, _ = spans.get(write.token, (write.returned, write.invoked, ""))
            spans[write.token] = min(first, write.returned), max(last, write.invoked), write.lane
        for write in writes:
            for token, (first, last, lane) in spans.items():
                inside = first < write.invoked and write.returned < last
                if write.kind != "begin" and token != write.token and inside:
                    yield f"{write.lane}: {write.token} wrote in the middle of {token} on {lane}"


def each_message_is_done_once(history: History) -> Iterator[str]:
    """One accepted end for each message, or, where a replica died, one that it did not hear of."""
    accepted: dict[tuple[str, str], int] = defaultdict(int)
    unheard: set[tuple[str, str]] = set()
    for one in history.operations:
        if one.kind == "end":
            named = (one.lane, one.message)
            accepted[named] += one.outcome == "ok"
            unheard |= {named} if one.outcome == "unknown" else set()
    for named in sorted(history.messages | set(accepted)):
        if accepted[named] > 1:
            yield f"{named[0]}: message {named[1]} was done {accepted[named]} times"
        elif not accepted[named] and named not in unheard:
            yield f"{named[0]}: message {named[1]} was never done"


def no_count_is_lost(history: History) -> Iterator[str]:
    """Each accepted write finds the sum of those before it, perhaps with some that went unheard."""
    unheard: dict[str, int] = defaultdict(int)
    for one in history.operations:
        if one.outcome == "unknown":
            unheard[one.lane] += one.tokens
    for lane, writes in history.writes().items():
        total, surplus = 0, 0
        for one in writes:
            total = 0 if one.kind == "reset" or one.version == 1 else total + one.tokens
            surplus = 0 if one.kind == "reset" else surplus
            if not total + surplus <= one.total <= total + unheard[lane]:
                yield f"{lane}: {one.total} tokens at version {one.version}, counted {total}"
            surplus = max(surplus, one.total - total)
        final = history.totals.get(lane)
        if final is not None and not total + surplus <= final <= total + unheard[lane]:
            yield f"{lane}: {final} tokens in the end, counted {total}"


def one_session_id_a_generation(history: History) -> Iterator[str]:
    """The session id changes with an accepted reset, or an unheard one, and never otherwise."""
    resets = {o.lane for o in history.operations if o.kind == "reset" and o.outcome == "unknown"}
    for lane, writes in history.writes().items():
        for one, after in pairwise(writes):
            changed = one.session_id != after.session_id
            if changed and after.kind != "reset" and lane not in resets:
                yield f"{lane}: the id changed at version {after.version} without a reset"
            if not changed and after.kind == "reset":
                yield f"{lane}: a reset at version {after.version} kept the id"


def who_was_away_writes_nothing(history: History) -> Iterator[str]:
    """A turn that ran when its replica was stopped beyond the lease has no write accepted later."""
    begun = {o.token: o for o in history.operations if o.kind == "begin" and o.outcome == "ok"}
    for one in history.operations:
        begin = begun.get(one.token)
        if begin is None or one.kind == "begin" or one.kind not in WRITES or one.outcome != "ok":
            continue
        for pause in history.pauses:
            ran = begin.returned < pause.stopped
            if one.replica == pause.replica and ran and one.invoked > pause.woken:
                yield f"{one.lane}: {one.token} wrote after it was away"


def arrivals_are_served_in_order(history: History) -> Iterator[str]:
    """Who was known to stand in line before another came is served before that one.

    But for those whose replica was killed or paused meanwhile, and those who gave up.
    """
    queued: dict[str, int] = {}
    for one in history.operations:
        if one.kind == "queued":
            queued[one.token] = min(one.returned, queued.get(one.token, one.returned))
    lanes: dict[str, list[Operation]] = defaultdict(list)
    for one in history.operations:
        if one.kind == "begin" and one.outcome == "ok":
            lanes[one.lane].append(one)
    for lane, begins in lanes.items():
        served = sorted(begins, key=lambda begin: begin.fence)
        for place, late in enumerate(served):
            if late.token not in queued or _was_disturbed(late, history):
                continue
            for early in served[max(0, place - 40) : place]:
                if early.invoked > queued[late.token]:
                    yield f"{lane}: {early.token} came later than {late.token}, and went first"


def _was_disturbed(begin: Operation, history: History) -> bool:
    process = begin.token.rpartition("/")[0]
    return process in history.killed or any(
        pause.replica == begin.replica
        and pause.stopped < begin.returned
        and begin.invoked < pause.woken
        for pause in history.pauses
    )


CHECKS: tuple[Callable[[History], Iterator[str]], ...] = (
    turns_do_not_overlap,
    shared_turns_do_not_overlap,
    each_message_is_done_once,
    no_count_is_lost,
    one_session_id_a_generation,
    who_was_away_writes_nothing,
    arrivals_are_served_in_order,
)


def violations(history: History) -> list[str]:
    """Return all that should not be, with the name of the check."""
    return [f"{check.__name__}: {fault}" for check in CHECKS for fault in check(history)]
