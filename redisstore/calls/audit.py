"""Calls that hold entries and indexes against one another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redisstore.calls.call import Ask, Call, Context, Sweep, as_text
from redisstore.keys import Partition, SessionKey

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it should be: a Redis key or an index member, and why."""

    where: str
    problem: str


def entries(
    context: Context, session_keys: Iterable[SessionKey], *, repair: bool
) -> list[Call[list[Fault]]]:
    """Check entries against the indexes."""
    calls = []
    batches = context.space.by_partition((key, key) for key in session_keys)
    for home, pairs in batches.items():
        keys = tuple(key for key, _ in pairs)
        calls.append(_entries(home, keys, repair=repair))
    return calls


def _entries(home: Partition, keys: tuple[SessionKey, ...], *, repair: bool) -> Call[list[Fault]]:
    def decode(reply: Sequence[bytes]) -> list[Fault]:
        return _faults(home.prefix + "entry:", reply)

    args = ("1" if repair else "", *keys)
    return Call("audit_entries", (home.prefix, home.updated_at), args, decode)


def indexes(context: Context, *, repair: bool) -> Sweep[Fault]:
    """Yield each index member that has no entry, page by page over all indexes."""
    for home in context.space.partitions:
        for index in (home.updated_at, home.session_ids, home.expiry, home.active):
            rank: int | None = 0
            while rank is not None:
                (answer,) = yield Ask([_page(home, index, rank, repair=repair)])
                rank, faults = answer
                for fault in faults:
                    yield fault


def _page(
    home: Partition, index: str, rank: int, *, repair: bool
) -> Call[tuple[int | None, list[Fault]]]:
    def decode(reply: Sequence[bytes]) -> tuple[int | None, list[Fault]]:
        return int(reply[0]) if reply[0] else None, _faults(f"{index} member ", reply[1:])

    args = (rank, _PAGE, "1" if repair else "")
    return Call("audit_index", (home.prefix, index), args, decode)


def _faults(where: str, reply: Sequence[bytes]) -> list[Fault]:
    return [
        Fault(where + as_text(name), as_text(problem))
        for name, problem in zip(reply[::2], reply[1::2], strict=True)
    ]
