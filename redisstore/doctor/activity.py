"""Whether what should go on does: replicas beat, lost turns are found, holds lapse."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

from redisstore.doctor.events import undelivered
from redisstore.doctor.finding import Finding
from redisstore.errors import CorruptEntry
from redisstore.sync.store import SessionStore

_PATIENCE = 10.0
"""How many seconds after it has lapsed a turn should have been found at the latest."""

_REMOVE = "remove that key: each heartbeat fills it"
_LONG = timedelta(hours=1)
"""How long a turn may run before somebody should look: one that hangs is renewed for ever."""


def activity(store: SessionStore) -> Iterator[Finding]:
    """Look at replicas, turns, process holds and events."""
    yield from _dead_replicas(store)
    # An index of a wrong type can't be read; it is named where all keys are looked at.
    with contextlib.suppress(CorruptEntry):
        yield from _stuck_turns(store)
    with contextlib.suppress(CorruptEntry):
        yield from _lapsed_holds(store)
    yield from undelivered(store)


def _dead_replicas(store: SessionStore) -> Iterator[Finding]:
    """Name the replicas that went without a word; others take up what they had in hand."""
    try:
        for one in store.list_replicas():
            if one.damage:
                message = f"what replica {one.name} told of itself is damaged: {one.damage}"
                yield Finding("fault", "replicas", message, _REMOVE)
            elif not one.alive:
                last = f"{one.beat_at:%Y-%m-%d %H:%M:%S} UTC" if one.beat_at else "an unknown time"
                message = f"replica {one.name} is dead, its last heartbeat was at {last}"
                advice = "start it again, or let it be: it leaves the list a day after it died"
                yield Finding("warning", "replicas", message, advice)
    except CorruptEntry as error:
        yield Finding("fault", "replicas", str(error), _REMOVE)


def _stuck_turns(store: SessionStore) -> Iterator[Finding]:
    """Name the turns that are lost and that nobody looks after, and those that may hang."""
    running, stuck = 0, 0
    for turn in store.list_turns():
        running += 1
        if turn.lapsed and abs(turn.lapses_in) > _PATIENCE:
            stuck += 1
            message = f"the turn of {turn.replica or 'nobody'} on {turn.session_key} lapsed at "
            yield Finding(
                "fault",
                "turns",
                f"{message}{turn.lapses_at:%Y-%m-%d %H:%M:%S} UTC, and {turn.waiting} wait",
                "run SessionStore.maintenance in a gateway, or call recover_turns",
            )
        elif turn.runs_for > _LONG:
            message = f"the turn of {turn.replica} on {turn.session_key} runs since"
            yield Finding(
                "warning",
                "turns",
                f"{message} {turn.began_at:%Y-%m-%d %H:%M:%S} UTC, and {turn.waiting} wait",
                "see whether it hangs; redisstore revoke-turn KEY takes the session from it",
            )
    if not stuck:
        yield Finding("ok", "turns", f"{running} running, none is overdue")


def _lapsed_holds(store: SessionStore) -> Iterator[Finding]:
    """Say how many sessions were held by processes that are gone; it hurts nobody."""
    counts = store.count()
    message = f"{counts.active} sessions are held by live processes"
    if counts.lapsed:
        message += f", {counts.lapsed} by processes that died or were forgotten: those have lapsed"
    yield Finding("ok", "holds", message)
