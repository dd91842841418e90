"""The verdict: what the store holds at the end, against what the demo's own books say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from redisstore.calls.audit import Fault
from redisstore.calls.prune import PruneReport
from redisstore.demo.ledger import Fate, Ledger, Tokens, tokens_of
from redisstore.entry import SessionEntry
from redisstore.keys import SessionId, SessionKey

Entries = Mapping[SessionKey, SessionEntry]
_EXAMPLES = 3


@dataclass(frozen=True)
class Check:
    """One claim, the numbers behind it, and what is wrong with it (nothing, if it holds)."""

    claim: str
    numbers: str
    problems: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(frozen=True)
class Prune:
    """What a prune should have removed, and what it says it did."""

    expected: frozenset[SessionKey]
    removed: frozenset[SessionKey]
    rehearsal: PruneReport
    report: PruneReport


def answered_once(ledger: Ledger) -> Check:
    """Of all deliveries of a message, exactly one brought an answer that the store took."""
    problems = [problem for fate in ledger.fates.values() for problem in _wrong_with(fate)]
    unheard = sum(fate.is_answered and not fate.answered_by for fate in ledger.fates.values())
    return Check(
        "Every message was answered exactly once",
        f"{len(ledger.fates):,} messages came {ledger.deliveries.total():,} times: "
        f"{ledger.deliveries['twin']:,} to two gateways at once, "
        f"{ledger.deliveries['repeat']:,} again after their answer, "
        f"{ledger.deliveries['retry']:,} again for want of an answer"
        + (f"; {unheard} answered by a gateway that died before it could say so" * bool(unheard)),
        tuple(problems),
    )


def _wrong_with(fate: Fate) -> Iterator[str]:
    message = f"{fate.message.id} of {fate.session_key}"
    if fate.error is not None:
        yield f"{message}: {fate.error}"
    elif not fate.is_answered:
        yield f"{message}: expected 1 answer, found none (deliveries: {fate.deliveries})"
    elif len(fate.answered_by) > 1:
        by = ", ".join(fate.answered_by)
        yield f"{message}: expected 1 answer, found {len(fate.answered_by)}, by {by}"
    elif not fate.answered_by and not fate.died_with:
        yield f"{message}: the store calls it done, but no gateway has answered it"


def one_turn_at_a_time(ledger: Ledger) -> Check:
    """No turn of a person had begun before the one before had ended, in the order of fences."""
    problems: list[str] = []
    turns = 0
    for key, account in ledger.accounts.items():
        in_order = sorted(account.turns, key=lambda turn: turn.fence)
        turns += len(in_order)
        for earlier, later in pairwise(in_order):
            if later.fence == earlier.fence:
                problems.append(f"{key}: two turns were given the fence {later.fence}")
        # What the store took an end of had its session until then; what was lost may not have.
        taken = [turn for turn in in_order if turn.ended_at is not None]
        for earlier, later in pairwise(taken):
            if earlier.ended_at is not None and later.begun_at < earlier.ended_at:
                seconds = earlier.ended_at - later.begun_at
                problems.append(
                    f"{key}: turn {later.fence} began {seconds:.3f} s before {earlier.fence} ended"
                )
    return Check(
        "Nobody was served by two gateways at the same time",
        f"{turns:,} turns of {len(ledger.accounts)} people, each begun after the one before had "
        "ended, and in the order of their fences",
        tuple(problems),
    )


def one_session_each(
    ledger: Ledger, before: Entries, after: Entries, newcomers: Iterable[SessionKey]
) -> Check:
    """All replicas were always told the same session id for a person, and the store has it."""
    problems: list[str] = []
    people = {key: account for key, account in ledger.accounts.items() if account.session_ids}
    for key, account in people.items():
        known: set[SessionId] = set(account.session_ids)
        known |= {entries[key].session_id for entries in (before, after) if key in entries}
        if len(known) > 1:
            problems.append(f"{key}: expected 1 session id, found {', '.join(sorted(known))}")
        if key not in after:
            problems.append(f"{key}: expected its session in the store, found none")
    new = [people[key] for key in newcomers if key in people]
    for account in new:
        # Who created it may have been killed before it could say so.
        unsaid = set(account.cut_off) - {turn.token for turn in account.turns}
        if len(account.creators) != 1 and (account.creators or not unsaid):
            ids = ", ".join(account.session_ids)
            problems.append(f"{ids}: expected 1 creator, found {len(account.creators)}")
    shared = sum(len(account.replicas) > 1 for account in people.values())
    raced = sum(len(account.replicas) > 1 for account in new)
    return Check(
        "One session id per person",
        f"{len(people)} people, {shared} of them served by several replicas; "
        f"{len(new)} new, {raced} greeted by several replicas at once, each created once",
        tuple(problems),
    )


def no_lost_count(ledger: Ledger, before: Entries, after: Entries) -> Check:
    """The stored counters are the sum of the answered messages, to the token."""
    problems: list[str] = []
    expected = dict.fromkeys(ledger.accounts, Tokens())
    for fate in ledger.fates.values():
        if fate.is_answered:
            expected[fate.session_key] += tokens_of(fate.message)
    total = Tokens()
    for key, tokens in expected.items():
        stored = _tokens(after.get(key)) - _tokens(before.get(key))
        total += stored
        if stored != tokens:
            problems.append(
                f"{key}: expected {tokens.input:,} input and {tokens.output:,} output tokens, "
                f"found {stored.input:,} and {stored.output:,}"
            )
    return Check(
        "No token was lost, and none counted twice",
        f"{total.input:,} input and {total.output:,} output tokens are stored, exactly those of "
        f"the {ledger.answered:,} answered messages",
        tuple(problems),
    )


def _tokens(entry: SessionEntry | None) -> Tokens:
    return Tokens(entry.input_tokens, entry.output_tokens) if entry else Tokens()


def resumed_after_kills(ledger: Ledger) -> Check:
    """The turn after one that was cut off was told so, and nobody else was told the like."""
    problems: list[str] = []
    for key, account in ledger.accounts.items():
        in_order = sorted(account.turns, key=lambda turn: turn.fence)
        for token, fence in account.cut_off.items():
            later = (turn for turn in in_order if turn.fence > fence and turn.token != token)
            following = next(later, None)
            if following is None:
                problems.append(f"{key}: no turn came after {fence}, which was cut off")
            elif not following.resumed:
                problems.append(f"{key}: turn {following.fence} was not told that {fence} was lost")
        unended = {turn.fence for turn in in_order if turn.ended_at is None}
        unended |= {*account.cut_off.values()}
        problems += [
            f"{key}: turn {turn.fence} was told of a lost turn, but none before it was lost"
            for turn in in_order
            if turn.resumed and not any(fence < turn.fence for fence in unended)
        ]
    return Check(
        "What a kill cut off was found, marked, and taken up again",
        "; ".join(
            f"{kill.replica} was killed with {len(kill.messages)} messages in hand, and "
            f"{kill.turns} of them half answered"
            for kill in ledger.kills
        )
        or "nothing was cut off",
        tuple(problems),
    )


def pruned_exactly(prune: Prune, before: Entries, after: Entries, ledger: Ledger) -> Check:
    """What was to go is gone, nothing else is, and nothing came from nowhere."""
    problems = [
        *_differ("removed", prune.removed, prune.expected),
        *_differ("missing from the store", before.keys() - after.keys(), prune.expected),
        *_differ("unheard of", after.keys() - before.keys() - ledger.accounts.keys(), ()),
    ]
    if prune.rehearsal.removed != prune.report.removed:
        problems.append(
            f"the dry run announced {prune.rehearsal.removed}, the prune removed "
            f"{prune.report.removed}"
        )
    return Check(
        "Exactly the expected sessions were pruned",
        f"{len(prune.removed)} of {len(prune.expected)} expected; "
        f"{len(after):,} in the store = {len(before):,} imported - {len(prune.removed)} pruned "
        f"+ {len(after.keys() - before.keys())} new",
        tuple(problems),
    )


def kept_what_lives(
    after: Entries,
    held: Iterable[SessionKey],
    busy: Iterable[SessionKey],
    suspended: Iterable[SessionKey],
    report: PruneReport,
) -> Check:
    """Sessions with a background process, and suspended ones, are still there."""
    busy, suspended = set(busy), set(suspended)
    problems = [
        *_differ("held", held, busy),
        *_differ("held, but missing", busy - after.keys(), ()),
        *_differ("suspended, but missing", suspended - after.keys(), ()),
        *_differ(
            "no longer suspended",
            {key for key in suspended & after.keys() if not after[key].suspended},
            (),
        ),
    ]
    return Check(
        "Held and suspended sessions are still there",
        f"{len(busy)} held and {len(suspended)} suspended; old enough for the prune were "
        f"{report.kept['active']} and {report.kept['suspended']} of them",
        tuple(problems),
    )


def nothing_to_repair(faults: Sequence[Fault], after: Entries) -> Check:
    """The audit finds every entry in its indexes, and every index member with its entry."""
    return Check(
        "The audit finds nothing",
        f"{len(after):,} entries and their index members, {len(faults)} faults",
        tuple(f"{fault.where}: {fault.problem}" for fault in faults),
    )


def _differ(what: str, found: Iterable[SessionKey], expected: Iterable[SessionKey]) -> list[str]:
    """Say what is in one set and not in the other."""
    found, expected = set(found), set(expected)
    problems = []
    if surplus := found - expected:
        problems.append(f"{what}: {len(surplus)} not expected: {_some(surplus)}")
    if lacking := expected - found:
        problems.append(f"{what}: {len(lacking)} expected and not found: {_some(lacking)}")
    return problems


def _some(keys: Iterable[SessionKey]) -> str:
    ordered = sorted(keys)
    more = len(ordered) - _EXAMPLES
    return ", ".join(ordered[:_EXAMPLES]) + (f" and {more} more" if more > 0 else "")
