"""Whether events reach those who asked for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

from redisstore.calls.event_groups import EventGroup
from redisstore.doctor.finding import Finding
from redisstore.errors import CorruptEntry
from redisstore.sync.store import SessionStore

_PATIENCE = timedelta(minutes=10)
"""How long a consumer may take over an event."""
_ALARMING = 0.5
"""How much of what a stream keeps a group may be behind."""


def undelivered(store: SessionStore) -> Iterator[Finding]:
    """Look at how far each group is, in each partition."""
    # A stream of a wrong type can't be read; it is named where all keys are looked at.
    with contextlib.suppress(CorruptEntry):
        groups = store.list_event_groups()
        late = [finding for group in groups if (finding := _late(group))]
        names = {group.name for group in groups}
        yield from late or [
            Finding("ok", "events", f"groups that read them: {len(names)}, none is late")
        ]


def _late(group: EventGroup) -> Finding | None:
    who = f"group {group.name} in partition {group.partition}"
    if group.lost:
        message = f"{who} fell behind: events were trimmed away before it was given them"
        advice = "start its consumers, they will be told of the gap; or keep more events"
        return Finding("fault", "events", message, advice)
    if group.behind is not None and group.behind > _ALARMING * group.kept:
        message = f"{who} is {group.behind:,} events behind; about {group.kept:,} are kept"
        return Finding("warning", "events", message, "start its consumers, or more of them")
    if group.pending_for > _PATIENCE:
        minutes = group.pending_for / timedelta(minutes=1)
        message = f"{who}: {group.pending_with} was given {group.pending:,} events and has not come"
        return Finding(
            "warning",
            "events",
            f"{message} back for {minutes:,.0f} minutes",
            "start a consumer of the group: it takes over what another has left",
        )
    return None
