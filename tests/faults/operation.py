"""What an operation is: its call, the state it is made in, and how many script calls it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from redisstore import SessionKey, SessionStore
from redisstore.keys import KeySpace

__all__ = ["Operation", "each_of", "every", "reading", "stored_and_counted"]


@dataclass(frozen=True)
class Operation:
    """One call; `before` brings a furnished store into the state in which it has most to do."""

    name: str
    call: Callable[[SessionStore], object]
    before: Callable[[SessionStore], object] = lambda _: None
    streams: bool = False
    """Whether the answer comes item by item."""
    calls: Callable[[int], int] = lambda _: 1
    """How many script calls it takes with so many partitions."""
    writes: bool = True

    def answer(self, store: SessionStore) -> object:
        """Make the call and get its answer, whole."""
        returned = self.call(store)
        return list(cast("Iterator[object]", returned)) if self.streams else returned


def every(partitions: int) -> int:
    return partitions


def each_of(*keys: SessionKey) -> Callable[[int], int]:
    def spanned(partitions: int) -> int:
        space = KeySpace("any", partitions)
        return len({space.partition_of(key) for key in keys})

    return spanned


def stored_and_counted(*keys: SessionKey) -> Callable[[int], int]:
    """In several partitions it is asked, before and after, what else is bound to the ids."""
    stored = each_of(*keys)
    return lambda partitions: stored(partitions) + (2 * partitions if partitions > 1 else 0)


def reading(name: str, call: Callable[[SessionStore], object], **more: Any) -> Operation:
    return Operation(name, call, writes=False, **more)
