"""The verdict: what the store holds at the end, against what the demo's own books say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from redisstore.calls.audit import Fault
from redisstore.calls.prune import PruneReport
from redisstore.demo.ledger import Account, Ledger, Tokens, tokens_of
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
class Restart:
    """What is known of the replica that was killed and started anew."""

    replica: str
    handled_last: frozenset[SessionKey]
    """Sessions whose last message it had handled when it was killed."""
    marked: int
    """How many of them it says it has marked as interrupted."""


@dataclass(frozen=True)
class Prune:
    """What a prune should have removed, and what it says it did."""

    expected: frozenset[SessionKey]
    removed: frozenset[SessionKey]
    rehearsal: PruneReport
    report: PruneReport


def all_answered(ledger: Ledger) -> Check:
    """Every message has its answer, but for those that died with the killed replica."""
    problems = list(ledger.failures)
    missing = ledger.sent - ledger.answered - ledger.abandoned - len(ledger.failures)
    if missing:
        problems.append(f"{missing} messages were neither answered nor refused")
    return Check(
        "Every message was answered",
        f"{ledger.answered:,} of {ledger.sent:,}; the other {ledger.abandoned} were in flight in "
        f"{ledger.killed or 'no replica'} at its kill -9",
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
        if len(account.creators) != 1 and not (account.abandoned and not account.creators):
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
    """The stored counters are the sum of what was acknowledged, to the token."""
    problems: list[str] = []
    counted_after_all = 0
    total = Tokens()
    for key, account in ledger.accounts.items():
        if key not in after:
            if account.acknowledged != Tokens():
                problems.append(f"{key}: expected {account.acknowledged}, found no session")
            continue
        stored = _tokens(after[key]) - (_tokens(before[key]) if key in before else Tokens())
        total += stored
        found = _explained_by(stored - account.acknowledged, account)
        if found is None:
            problems.append(
                f"{key}: expected {account.acknowledged.input:,} input and "
                f"{account.acknowledged.output:,} output tokens"
                + (f" (or more, {len(account.abandoned)} in doubt)" if account.abandoned else "")
                + f", found {stored.input:,} and {stored.output:,}"
            )
        else:
            counted_after_all += found
    doubt = (
        f"; of the {ledger.abandoned} messages in flight at the kill, {counted_after_all} were "
        f"counted and {ledger.abandoned - counted_after_all} were not, each wholly or not at all"
    )
    return Check(
        "No count was lost",
        f"{total.input:,} input and {total.output:,} output tokens acknowledged, and stored"
        + (doubt if ledger.abandoned and not problems else ""),
        tuple(problems),
    )


def _tokens(entry: SessionEntry) -> Tokens:
    return Tokens(entry.input_tokens, entry.output_tokens)


def _explained_by(difference: Tokens, account: Account) -> int | None:
    """Return how many abandoned messages make up the difference exactly; ``None``: none do."""
    amounts = [tokens_of(message) for message in account.abandoned]
    for size in range(len(amounts) + 1):
        for some in combinations(amounts, size):
            if sum(some, start=Tokens()) == difference:
                return size
    return None


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


def marked_its_own(restart: Restart, after: Entries, ledger: Ledger) -> Check:
    """The restarted replica marked what it had been busy with, and nobody else's sessions."""
    marked = {key for key, e in after.items() if e.resume_reason == "restart_interrupted"}
    passed_over = {
        key
        for key in restart.handled_last - marked
        if not (key in ledger.accounts and ledger.accounts[key].taken_over)
    }
    problems = [
        *_differ("marked, though another's", marked - restart.handled_last, ()),
        *_differ("its own, but not marked", passed_over, ()),
    ]
    if len(marked) != restart.marked:
        problems.append(f"it says it marked {restart.marked}, the store has {len(marked)}")
    return Check(
        f"Only sessions of {restart.replica} were marked as interrupted",
        f"{len(marked)} marked; {len(restart.handled_last)} were its own when it was killed, "
        f"{len(restart.handled_last - marked)} of them passed to another replica meanwhile",
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
