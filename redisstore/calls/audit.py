"""Calls that hold entries and indexes against one another."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redisstore.calls.call import Ask, Call, Context, Found, Sweep, as_labelled, as_text, chunks
from redisstore.calls.leases import recover
from redisstore.calls.sharing import share
from redisstore.keys import (
    INDEXES,
    KINDS_OF_A_LANE,
    KINDS_OF_A_PARTITION,
    KINDS_OF_THE_STORE,
    Partition,
    SessionId,
)

_PAGE = 100
_OTHERS_A_CALL = 20
"""Hashes of session ids are among them; with a million sessions, of hundreds each."""
_UNSHARED = "shares its session id, but its turns would not exclude those of the others"
"""A fault that concerns several partitions, in the words of the script."""
_LATE = "has a lock that lapsed more than a minute ago, and that nobody has dropped"
"""This one too: the turn that had it may have its lane in another one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it should be: a Redis key or an index member, and why."""

    where: str
    problem: str


def pattern(context: Context) -> str:
    """Return the glob pattern of all keys of a store, for SCAN."""
    namespace = context.config.namespace
    # Several partitions have tags of their own, beside that of the store as a whole.
    several = context.space.partition_count > 1
    return "{" + namespace + ("[.}]*:*" if several else "}:*")


def keys(context: Context, found: Iterable[bytes], *, repair: bool) -> Sweep[Fault]:
    """Yield what is wrong with keys that a SCAN found, and with the sessions they belong to."""
    homes = context.space.by_prefix
    known: dict[str, tuple[str, ...]] = dict.fromkeys(homes, KINDS_OF_A_PARTITION)
    known[context.space.root] = known.get(context.space.root, ()) + KINDS_OF_THE_STORE
    lanes: dict[str, set[bytes]] = {}
    others: dict[str, set[bytes]] = {}
    for key in found:
        before, brace, name = key.partition(b"}:")
        prefix = (before + brace).decode(errors="replace")
        first, colon, lane = name.partition(b":")
        kind = (first + colon).decode(errors="replace") if lane or not colon else ""
        if prefix not in known:
            yield Found(Fault(as_text(key), "belongs to no partition of this store"))
        elif kind not in known[prefix]:
            yield Found(Fault(as_text(key), "is no key of this layout"))
        elif kind in KINDS_OF_A_LANE:
            lanes.setdefault(prefix, set()).add(lane)
        elif kind not in INDEXES:
            others.setdefault(prefix, set()).add(name)
    calls = [
        *(_entries(homes[prefix], some, repair=repair) for prefix, some in lanes.items()),
        *(
            _others(prefix, some, repair=repair)
            for prefix, names in others.items()
            for some in chunks(sorted(names), _OTHERS_A_CALL)
        ),
    ]
    if calls:
        replies = yield Ask(calls)
        for faults in replies:
            for fault in faults:
                yield Found(fault)
                if repair and fault.problem == _UNSHARED:
                    yield from _share(context, fault.where)


def _share(context: Context, entry_key: str) -> Sweep[Fault]:
    """Have the turns of all lanes that are bound to an entry's session id exclude one another."""
    home = next(home for home in context.space.partitions if entry_key.startswith(home.entries))

    def session_id(flat: Sequence[bytes]) -> SessionId:
        return SessionId(as_text(as_labelled(flat).get("session_id", b"")))

    (found,) = yield Ask([Call("get_session", (home.prefix, entry_key), (), session_id)])
    yield from share(context, found)


def _entries(home: Partition, lanes: set[bytes], *, repair: bool) -> Call[list[Fault]]:
    def decode(reply: Sequence[bytes]) -> list[Fault]:
        return _faults(home.entries, reply)

    args = ("1" if repair else "", *sorted(lanes))
    return Call("audit_entries", (home.prefix, home.updated_at), args, decode)


def _others(prefix: str, names: Sequence[bytes], *, repair: bool) -> Call[list[Fault]]:
    args = ("1" if repair else "", *names)
    named = (prefix, prefix + "updated_at")
    return Call("audit_keys", named, args, lambda reply: _faults(prefix, reply))


def indexes(context: Context, *, repair: bool) -> Sweep[Fault]:
    """Yield each index member that has no entry, page by page over all indexes."""
    for home in context.space.partitions:
        for index in (home.prefix + name for name in INDEXES):
            rank: int | None = 0
            late = False
            while rank is not None:
                (answer,) = yield Ask([_page(home, index, rank, repair=repair)])
                rank, faults = answer
                late |= any(fault.problem == _LATE for fault in faults)
                yield from map(Found, faults)
            if repair and late:
                yield from recover(context, home)


def shared_ids(context: Context, endings: Iterable[bytes], *, repair: bool) -> Sweep[Fault]:
    """Yield each entry that does not know that one of another partition has its session id.

    ``endings``: the last three bytes of all session ids. An only partition knows by itself.
    """
    if context.space.partition_count == 1:
        return
    for some in chunks(sorted(endings), _OTHERS_A_CALL):
        found = yield from _unmarked(context, some)
        if not found:
            continue
        # Partitions are read one after the other: what was bound anew meanwhile is no fault.
        again = yield from _unmarked(context, some)
        for where, session_id in sorted(found & again):
            yield Found(Fault(where, _UNSHARED))
            if repair:
                yield from share(context, session_id)


def _unmarked(
    context: Context, endings: Sequence[bytes]
) -> Generator[Ask, Any, set[tuple[str, SessionId]]]:
    homes = context.space.partitions
    replies = yield Ask(
        [
            Call("audit_bindings", (home.prefix, home.updated_at), tuple(endings), _bindings)
            for home in homes
        ]
    )
    places: dict[SessionId, list[Partition]] = {}
    for home, bound in zip(homes, replies, strict=True):
        for session_id, _, _ in bound:
            places.setdefault(session_id, []).append(home)
    return {
        (home.entries + as_text(session_key), session_id)
        for home, bound in zip(homes, replies, strict=True)
        for session_id, session_key, is_marked in bound
        # Where two are in one partition, that has told so.
        if not is_marked and places[session_id].count(home) == 1 < len(places[session_id])
    }


def _bindings(reply: Sequence[Sequence[bytes]]) -> list[tuple[SessionId, bytes, bool]]:
    return [
        (SessionId(as_text(session_id)), session_key, mark == b"1")
        for bound in reply
        for session_id, session_key, mark in zip(bound[::3], bound[1::3], bound[2::3], strict=True)
    ]


def endings(found: Iterable[bytes]) -> set[bytes]:
    """Return how the session ids end that have an index among these keys."""
    names = (key.partition(b"}:session_ids:") for key in found)
    return {ending for _, colon, ending in names if colon}


def _page(
    home: Partition, index: str, rank: int, *, repair: bool
) -> Call[tuple[int | None, list[Fault]]]:
    def decode(reply: Sequence[bytes]) -> tuple[int | None, list[Fault]]:
        if reply[1:2] == [b""]:
            return None, [Fault(index, as_text(reply[2]))]
        return int(reply[0]) if reply[0] else None, _faults(f"{index} member ", reply[1:])

    args = (rank, _PAGE, "1" if repair else "")
    return Call("audit_index", (home.prefix, index), args, decode)


def _faults(where: str, reply: Sequence[bytes]) -> list[Fault]:
    return [
        Fault(where + as_text(name), as_text(problem))
        for name, problem in zip(reply[::2], reply[1::2], strict=True)
    ]
