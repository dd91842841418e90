"""Calls that hold entries and indexes against one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from redisstore.calls.call import Ask, Call, Context, Found, Sweep, as_labelled, as_text
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
"""The one fault that concerns several partitions, in the words of the script."""


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
            for some in _parts(sorted(names))
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


def _parts(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(names), _OTHERS_A_CALL):
        yield names[start : start + _OTHERS_A_CALL]


def _others(prefix: str, names: Sequence[bytes], *, repair: bool) -> Call[list[Fault]]:
    args = ("1" if repair else "", *names)
    named = (prefix, prefix + "updated_at")
    return Call("audit_keys", named, args, lambda reply: _faults(prefix, reply))


def indexes(context: Context, *, repair: bool) -> Sweep[Fault]:
    """Yield each index member that has no entry, page by page over all indexes."""
    for home in context.space.partitions:
        for index in (home.prefix + name for name in INDEXES):
            rank: int | None = 0
            while rank is not None:
                (answer,) = yield Ask([_page(home, index, rank, repair=repair)])
                rank, faults = answer
                yield from map(Found, faults)


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
