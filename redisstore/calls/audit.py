"""Calls that hold entries and indexes against one another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redisstore.calls.call import Ask, Call, Context, Found, Sweep, as_text
from redisstore.keys import Partition

_PAGE = 100
_KINDS_OF_A_LANE = ("entry", "holds", "turn", "queue")
_OTHER_KINDS = ("op", "wake", "seen", "lock", "lock_queue", "replica", "job")
"""What lapses by itself, is checked from its index, or is of no session."""
_INDEXES = ("updated_at", "session_ids", "expiry", "active", "turns", "locks")
_SINGLE_KEYS = (*_INDEXES, "fence", "events", "meta", "replicas")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it should be: a Redis key or an index member, and why."""

    where: str
    problem: str


def pattern(context: Context) -> str:
    """Return the glob pattern of all keys of a store, for SCAN."""
    namespace = context.config.namespace
    dot = "" if context.space.partition_count == 1 else ".*"
    return "{" + namespace + dot + "}:*"


def keys(context: Context, found: Iterable[bytes], *, repair: bool) -> Sweep[Fault]:
    """Yield what is wrong with keys that a SCAN found, and with the sessions they belong to."""
    homes = {home.prefix.encode(): home for home in context.space.partitions}
    lanes: dict[Partition, set[bytes]] = {}
    for key in found:
        prefix, _, name = key.partition(b"}:")
        home = homes.get(prefix + b"}:")
        first, _, lane = name.partition(b":")
        kind = first.decode(errors="replace")
        if home is None:
            yield Found(Fault(as_text(key), "belongs to no partition of this store"))
        elif lane and kind in _KINDS_OF_A_LANE:
            lanes.setdefault(home, set()).add(lane)
        elif kind not in (_OTHER_KINDS if lane else _SINGLE_KEYS):
            yield Found(Fault(as_text(key), "is no key of this layout"))
    if lanes:
        replies = yield Ask([_entries(home, some, repair=repair) for home, some in lanes.items()])
        for faults in replies:
            yield from map(Found, faults)


def _entries(home: Partition, lanes: set[bytes], *, repair: bool) -> Call[list[Fault]]:
    def decode(reply: Sequence[bytes]) -> list[Fault]:
        return _faults(home.prefix + "entry:", reply)

    args = ("1" if repair else "", *sorted(lanes))
    return Call("audit_entries", (home.prefix, home.updated_at), args, decode)


def indexes(context: Context, *, repair: bool) -> Sweep[Fault]:
    """Yield each index member that has no entry, page by page over all indexes."""
    for home in context.space.partitions:
        for index in (home.prefix + name for name in _INDEXES):
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
