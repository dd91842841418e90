"""Bytes a session takes on the server, and where they go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.server_memory import delete_keys, used_memory
from benchmarks.sessions import check, layout, real_entries, store_all
from benchmarks.workload import DAILY_POLICY, NO_POLICY, Bench, Measure, Repetition, Workload
from redisstore import SessionEntry, SessionResetPolicy, SessionStore, Turn

SESSIONS = 20_000
TURNS = 500
_POLICIES = {"none": NO_POLICY, "daily": DAILY_POLICY}


def _run(bench: Bench) -> Iterator[Repetition]:
    entries = real_entries(bench.size(SESSIONS))
    for repetition in range(bench.repetitions):
        found: dict[str, float] = {}
        for name, policy in _POLICIES.items():
            parts = _parts(bench, entries, policy, audited=not repetition)
            found |= {f"{name}_{part}": used / len(entries) for part, used in parts.items()}
            found[f"{name}_total"] = sum(parts.values()) / len(entries)
            found[f"{name}_entry_share"] = 100 * parts["entry"] / sum(parts.values())
        yield found | _turns(bench, _alone(entries[: bench.size(TURNS)]))


def _alone(entries: Sequence[SessionEntry]) -> list[SessionEntry]:
    """Leave out what is suspended, and would be replaced, and who shares an id, and would wait."""
    lanes = Counter(entry.session_id for entry in entries)
    return [entry for entry in entries if not entry.suspended and lanes[entry.session_id] == 1]


def _parts(
    bench: Bench, entries: list[SessionEntry], policy: SessionResetPolicy, *, audited: bool
) -> dict[str, int]:
    """Return the bytes of the entries and of each index, in a server of their own."""
    with bench.server() as server:
        with bench.store(server, policy) as store:
            # What any store has, it has after its first session: scripts, layout record.
            store_all(store, entries[:1])
            store.delete_session(entries[0].session_key)
            _, home = layout(store)
        empty = used_memory(server)
        with bench.store(server, policy) as store:
            store_all(store, entries)
            if audited:
                check(store)
        left = used_memory(server)
        parts: dict[str, int] = {}
        for index in ("expiry", "session_ids", "updated_at"):
            delete_keys(server, f"{home.prefix}{index}*")
            before, left = left, used_memory(server)
            parts[index] = before - left
        parts["entry"] = left - empty
    return parts


def _turns(bench: Bench, entries: Sequence[SessionEntry]) -> dict[str, float]:
    """Return what a turn takes while it runs, and what each message leaves for a day."""
    with bench.server() as server, bench.store(server, NO_POLICY) as store:
        store_all(store, entries)

        def turns(message: str) -> list[Turn]:
            return [_turn(store, entry, message) for entry in entries]

        readings = [used_memory(server)]
        for message in ("m-one", "m-two"):
            running = turns(message)
            for turn in running:
                turn.__enter__()
            readings.append(used_memory(server))
            for turn in running:
                turn.end()
            readings.append(used_memory(server))
    empty, running_once, first, _, second = readings
    return {
        "turn": (running_once - empty) / len(entries),
        "first_id": (first - empty) / len(entries),
        "next_id": (second - first) / len(entries),
    }


def _turn(store: SessionStore, entry: SessionEntry, message: str) -> Turn:
    assert entry.origin is not None  # noqa: S101 - all entries of the file have one
    message_id = f"{message}-{entry.session_id}"
    return store.turn(entry.origin, message_id, wait=0, session_key=entry.session_key)


def _measures(policy: str) -> tuple[Measure, ...]:
    return (
        Measure(f"{policy}_total", f"policy {policy}: a session in all", "B"),
        Measure(f"{policy}_entry", f"policy {policy}: hash and its key", "B"),
        Measure(f"{policy}_updated_at", f"policy {policy}: index by last activity", "B"),
        Measure(f"{policy}_session_ids", f"policy {policy}: index by session id", "B"),
        Measure(f"{policy}_expiry", f"policy {policy}: index by deadline", "B"),
        Measure(f"{policy}_entry_share", f"policy {policy}: share of hash and key", "%"),
    )


WORKLOAD = Workload(
    "memory",
    "Memory of a session",
    "The sessions of a real gateway's `sessions.json` (600 in a year, eight platforms), multiplied"
    f" with new keys to {SESSIONS:,} and imported. `used_memory` less the clients' buffers, before"
    " and after; an index is what its DEL gives back, hash and key (with its place in the server's"
    " table of keys) are the rest. Each policy on a server of its own. Then a turn on each of"
    f" {TURNS:,} sessions, all at once, with a message id of 30 bytes: what they take while they"
    " run, what is left when they have ended, and what is left of another one.",
    (
        *_measures("none"),
        *_measures("daily"),
        Measure("turn", "a turn that runs, with its message id", "B"),
        Measure("first_id", "what a first turn leaves: its message id", "B"),
        Measure("next_id", "what each further turn leaves: its message id", "B"),
    ),
    _run,
)
