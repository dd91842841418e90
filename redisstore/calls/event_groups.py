"""The groups that read the events, as anybody may see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from redisstore.calls.call import Call, Context, as_text
from redisstore.keys import Partition


@dataclass(frozen=True, slots=True)
class EventGroup:
    """How far a group of consumers is with the events of one partition."""

    name: str
    partition: int
    pending: int
    """Given to consumers that have not come back for the next one."""
    pending_for: timedelta
    """For how long the oldest of these has been."""
    pending_with: str
    """Which consumer has that one; empty where none is pending."""
    behind: int | None
    """How many events wait to be given out; ``None``: the server can't tell."""
    lost: bool
    """Whether others were trimmed away before they were given out. The group will be told."""
    kept: int
    """About how many events the partition keeps."""


def listed(context: Context) -> list[Call[list[EventGroup]]]:
    """List the groups of each partition."""
    return [_listed(home) for home in context.space.partitions]


def _listed(home: Partition) -> Call[list[EventGroup]]:
    def decode(reply: Sequence[Any]) -> list[EventGroup]:
        kept, rows = int(reply[0]), reply[1:]
        return [
            EventGroup(
                name=as_text(name),
                partition=home.index,
                pending=int(pending),
                pending_for=timedelta(milliseconds=int(idle)),
                pending_with=as_text(consumer),
                behind=int(behind) if behind else None,
                lost=lost == b"1",
                kept=kept,
            )
            for name, pending, idle, consumer, behind, lost in zip(
                *(rows[part::6] for part in range(6)), strict=True
            )
        ]

    return Call("list_event_groups", (home.prefix, home.events), (), decode)
