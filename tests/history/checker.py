"""Reads a history and says what should not be in it. Each check takes records and yields sentences.

Accepted writes of a lane are ordered by the version that the store gave each of them; nothing is
concluded from clocks where versions tell. Where writes of several lanes are compared, only what had
certainly ended before something else began counts as earlier.

An operation whose first answer was lost is answered with the session as it is when it is tried
again, and others may have been there meanwhile. So such a write is known to be accepted, but not at
which version, and what it adds to the counters is there by the version that it was answered with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import pairwise

from .records import Operation, Pause

__all__ = ["CHECKS", "History", "violations"]

BINDINGS = ("reset", "switch")
"""What binds a lane to another session id."""
WRITES = ("begin", "update", "end", *BINDINGS)
OVERTAKERS = 40
"""How many of those that were served before it a turn is compared with."""


class History:
    """The records of a run, sorted for the checks."""

    def __init__(
        self,
        operations: Iterable[Operation],
        *,
        messages: Iterable[tuple[str, str]] = (),
        pauses: Sequence[Pause] = (),
        killed: Iterable[str] = (),
    ) -> None:
        self.operations = list(operations)
        self.messages = set(messages)
        self.pauses = pauses
        self.killed = frozenset(killed)
        """Tokens of processes that were killed, up to the last slash."""
        self.absences = defaultdict[str, list[tuple[int, int]]](list)
        """When a replica was stopped, or did not get to run."""
        for pause in pauses:
            self.absences[pause.replica].append((pause.stopped, pause.woken))
        for one in self.operations:
            if one.kind == "stall":
                self.absences[one.replica].append((one.invoked, one.returned))

    def accepted(self, *kinds: str) -> Iterator[Operation]:
        """Yield what the store has accepted, and given a version."""
        return (o for o in self.operations if o.outcome == "ok" and o.kind in kinds and o.version)

    def placed(self, *kinds: str) -> Iterator[Operation]:
        """Yield the accepted whose version is known."""
        return (one for one in self.accepted(*kinds) if not one.repeated)

    def lanes(self, *kinds: str) -> dict[str, list[Operation]]:
        """Return the placed by lane, in the order of the store."""
        lanes = defaultdict[str, list[Operation]](list)
        for one in self.placed(*kinds):
            lanes[one.lane].append(one)
        return {lane: sorted(some, key=_by_version) for lane, some in lanes.items()}

    def unplaced(self) -> Iterator[Operation]:
        """Yield what may have been applied, or was, at a version that is not known."""
        return (o for o in self.operations if o.outcome == "unknown" or o.repeated)

    def turns(self) -> dict[str, list[Operation]]:
        """Return the placed writes of each turn, by its token."""
        turns = defaultdict[str, list[Operation]](list)
        for one in self.placed(*WRITES):
            if one.token:
                turns[one.token].append(one)
        return {token: sorted(some, key=_by_version) for token, some in turns.items()}


def _by_version(one: Operation) -> tuple[int, bool, bool]:
    return one.version, one.kind == "read", one.repeated


def turns_do_not_overlap(history: History) -> Iterator[str]:
    """Writes of a lane come turn by turn, and their fences never go back."""
    for lane, writes in history.lanes(*WRITES).items():
        for one, after in pairwise(writes):
            if after.version == one.version:
                yield f"{lane}: version {one.version} was given to two writes"
        of_turns = [write for write in writes if write.token]
        over = set[str]()
        for one, after in pairwise(of_turns):
            if after.token in over:
                yield f"{lane}: {after.token} wrote at version {after.version}, after a later turn"
            over |= {one.token} - {after.token}
        for one, after in pairwise(filter(_is_fenced, of_turns)):
            if after.fence < one.fence:
                yield f"{lane}: fence {after.fence} wrote after {one.fence} had"


def _is_fenced(write: Operation) -> bool:
    # A turn that waits for its session may have lost the lane when it is given the fence.
    return write.kind != "begin"


def turns_of_a_session_do_not_overlap(history: History) -> Iterator[str]:
    """Nothing is written to a session from another lane while a turn is at it."""
    turns = history.turns()
    for session_id, writes in _shared(history).items():
        spans = sorted(
            (
                (some[0].returned, some[-1].invoked, token)
                for token, some in turns.items()
                if some[0].kind == "begin" and some[0].session_id == session_id
            ),
            reverse=True,
        )
        at_it: list[tuple[int, int, str]] = []
        for write in writes:
            while spans and spans[-1][0] < write.invoked:
                first, last, token = spans.pop()
                heappush(at_it, (last, first, token))
            while at_it and at_it[0][0] <= write.invoked:
                heappop(at_it)
            for last, _, token in at_it:
                if token != write.token and write.returned < last:
                    yield f"{session_id}: {write.token} wrote in the middle of {token}"


def fences_of_a_session_grow(history: History) -> Iterator[str]:
    """What certainly wrote later has no smaller fence, from whichever lane."""
    for session_id, writes in _shared(history).items():
        ended = sorted(writes, key=lambda write: write.returned, reverse=True)
        latest = 0
        for write in writes:
            while ended and ended[-1].returned < write.invoked:
                latest = max(latest, ended.pop().fence)
            if write.fence < latest:
                yield f"{session_id}: fence {write.fence} wrote after {latest} had"


def _shared(history: History) -> dict[str, list[Operation]]:
    """What turns wrote to session ids that several lanes were bound to, in the order it began."""
    sessions = defaultdict[str, list[Operation]](list)
    for one in sorted(history.placed("update", "end"), key=lambda write: write.invoked):
        sessions[one.session_id].append(one)
    return {
        session_id: writes
        for session_id, writes in sessions.items()
        if len({write.lane for write in writes}) > 1
    }


def each_message_is_done_once(history: History) -> Iterator[str]:
    """One end for each message, or one that its replica did not hear of; and none after that."""
    accepted = defaultdict[tuple[str, str], list[Operation]](list)
    unheard = defaultdict[tuple[str, str], list[Operation]](list)
    told = dict[tuple[str, str], Operation]()
    for one in history.operations:
        named = (one.lane, one.message)
        if one.kind == "end" and one.outcome in {"ok", "stale"}:
            accepted[named].append(one)
        elif one.kind == "end" and one.outcome == "unknown":
            unheard[named].append(one)
        elif one.outcome == "done" and (named not in told or one.returned < told[named].returned):
            told[named] = one
    for named in sorted(history.messages | set(accepted) | set(told)):
        lane, message = named
        ends, said = accepted[named], told.get(named)
        if len(ends) > 1:
            yield f"{lane}: message {message} was done {len(ends)} times"
        elif not ends and not (unheard[named] and said):
            yield f"{lane}: message {message} was never done"
        if said and not any(end.invoked < said.returned for end in ends + unheard[named]):
            yield f"{lane}: message {message} was called done before any turn had ended"
        if said and any(end.invoked > said.returned for end in ends):
            yield f"{lane}: message {message} was done again after it was known as done"


def no_count_is_lost(history: History) -> Iterator[str]:
    """Each accepted write finds the sum of those before it, perhaps with some that are not placed.

    A write that was answered late is one of these until the version of its answer; for good, if
    the lane was bound anew by then.
    """
    begun_with = {one.token: one.session_id for one in history.accepted("begin")}
    unplaced, late = defaultdict[str, int](int), defaultdict[str, list[Operation]](list)
    for one in history.unplaced():
        unplaced[one.lane] += one.tokens
    for one in history.accepted("update", "end"):
        if one.repeated and one.session_id == begun_with.get(one.token):
            late[one.lane].append(one)
    for lane, seen in history.lanes(*WRITES, "read").items():
        total, latest, session_id = 0, 0, seen[0].session_id
        for one in sorted(seen + late[lane], key=_by_version):
            if one.session_id != session_id or one.kind in BINDINGS:
                total, latest, session_id = 0, 0, one.session_id
            total += one.tokens
            latest += 0 if one.repeated else one.tokens
            unplaced[lane] -= one.tokens if one.repeated else 0
            if not max(total, latest) <= one.total <= total + unplaced[lane]:
                yield f"{lane}: {one.total} tokens at version {one.version}, counted {total}"
            latest = one.total


def one_session_id_a_generation(history: History) -> Iterator[str]:
    """The session id changes with what binds the lane anew, heard of or not, and never else."""
    unheard = {one.lane for one in history.unplaced() if one.kind in BINDINGS}
    for lane, seen in history.lanes(*WRITES, "read").items():
        for one, after in pairwise(seen):
            changed = one.session_id != after.session_id
            if changed and after.kind not in BINDINGS and lane not in unheard:
                yield f"{lane}: the id changed at version {after.version} without a reset"
            if not changed and after.kind in BINDINGS and lane not in unheard:
                yield f"{lane}: a {after.kind} at version {after.version} kept the id"


def a_turn_keeps_its_session(history: History) -> Iterator[str]:
    """What a turn writes, but for a reset of its own, goes to the session that it began with."""
    for token, writes in history.turns().items():
        for write in writes:
            if write.kind in {"update", "end"} and write.session_id != writes[0].session_id:
                yield f"{write.lane}: {token} wrote to {write.session_id}"


def who_was_away_writes_nothing(history: History) -> Iterator[str]:
    """A turn that ran when its replica was stopped beyond the lease has no write accepted later."""
    begun = {o.token: o for o in history.accepted("begin")}
    for one in history.accepted("update", "end", *BINDINGS):
        begin = begun.get(one.token)
        for pause in history.pauses if begin else ():
            ran = begin is not None and begin.returned < pause.stopped
            if one.replica == pause.replica and ran and one.invoked > pause.woken:
                yield f"{one.lane}: {one.token} wrote after it was away"


def arrivals_are_served_in_order(history: History) -> Iterator[str]:
    """Who was known to stand in line before another came is served before that one.

    But for those whose replica was killed or away meanwhile, and those who gave up.
    """
    queued = dict[str, int]()
    for one in history.operations:
        if one.kind == "queued" and one.outcome == "ok":
            queued[one.token] = min(one.returned, queued.get(one.token, one.returned))
    for lane, begins in history.lanes("begin").items():
        for place, late in enumerate(begins):
            if late.token not in queued or _was_disturbed(late, history):
                continue
            for early in begins[max(0, place - OVERTAKERS) : place]:
                if early.invoked > queued[late.token]:
                    yield f"{lane}: {early.token} came later than {late.token}, and went first"


def _was_disturbed(begin: Operation, history: History) -> bool:
    return begin.token.rpartition("/")[0] in history.killed or any(
        gone < begin.returned and begin.invoked < back
        for gone, back in history.absences[begin.replica]
    )


CHECKS: tuple[Callable[[History], Iterator[str]], ...] = (
    turns_do_not_overlap,
    turns_of_a_session_do_not_overlap,
    fences_of_a_session_grow,
    each_message_is_done_once,
    no_count_is_lost,
    one_session_id_a_generation,
    a_turn_keeps_its_session,
    who_was_away_writes_nothing,
    arrivals_are_served_in_order,
)


def violations(history: History) -> list[str]:
    """Return all that should not be, with the name of the check."""
    return [f"{check.__name__}: {fault}" for check in CHECKS for fault in check(history)]
