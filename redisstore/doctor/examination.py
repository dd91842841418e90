"""The doctor's round: settings, layout, activity, and every entry with its indexes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from redisstore.calls.audit import Fault
from redisstore.doctor.activity import activity
from redisstore.doctor.finding import Finding
from redisstore.doctor.settings import settings
from redisstore.errors import CorruptEntry, LayoutMismatch
from redisstore.keys import LAYOUT_VERSION
from redisstore.sync.store import SessionStore


def examine(store: SessionStore, *, repair: bool = False, quick: bool = False) -> Iterator[Finding]:
    """Look at everything and yield what is found, as it is found.

    Reads the whole store in short calls, safe beside live traffic. ``repair`` puts the indexes
    right, then reads everything once more: what is a fault then is left for a person. ``quick``
    leaves the sessions and their indexes out: settings, layout, replicas, turns, holds and events.

    Raises:
        StoreUnavailable: Redis does not answer.
        StoreRefused: it refuses the password, or what the checks of the store itself need.

    """
    yield from settings(store)
    try:
        context = store.layout()
    except (LayoutMismatch, CorruptEntry) as error:
        advice = "give the right --namespace, or read the record with HGETALL and put it right"
        yield Finding("fault", "layout", str(error), advice)
        return
    if context is None:
        namespace = store.config.namespace
        yield Finding(
            "warning",
            "layout",
            f"there is no store in namespace {namespace}",
            "the first message makes one; if there was one, the URL or the namespace is wrong, or"
            " Redis was emptied",
        )
        return
    count = context.space.partition_count
    what = "1 partition" if count == 1 else f"{count} partitions"
    yield Finding("ok", "layout", f"version {LAYOUT_VERSION}, {what}")
    yield from activity(store)
    if not quick:
        yield from _repaired(store) if repair else _invariants(store)


_SOUND = Finding("ok", "invariants", "every entry has its index members, every member its entry")


def _invariants(store: SessionStore) -> Iterator[Finding]:
    advice = "redisstore doctor --repair puts indexes right, and says what it leaves to you"
    sound = True
    for fault in _faults(store, repair=False):
        sound = False
        yield _fault(fault, advice)
    if sound:
        yield _SOUND


def _repaired(store: SessionStore) -> Iterator[Finding]:
    found = list(_faults(store, repair=True))
    left = list(_faults(store, repair=False))
    for fault in found:
        if fault not in left:
            yield Finding("ok", "invariants", f"repaired: {fault.where} {fault.problem}")
    advice = (
        "look at it with redis-cli; put it right by hand, or remove it: a session with redisstore "
        "delete KEY, an index with redis-cli DEL (doctor --repair then fills it again)"
    )
    for remaining in left:
        yield _fault(remaining, advice)
    if not left:
        yield _SOUND


def _faults(store: SessionStore, *, repair: bool) -> Iterator[Fault]:
    """Yield each fault once: SCAN, and a session's several keys, may bring one up again."""
    seen: set[Fault] = set()
    for fault in store.audit(repair=repair):
        if fault not in seen:
            seen.add(fault)
            yield fault
    # What a script can't judge, such as text that is no UTF-8, shows when all is read.
    listed: list[CorruptEntry] = []
    with contextlib.suppress(CorruptEntry):  # an index of a wrong type, which is named above
        for _ in store.list_sessions(on_damaged=listed.append):
            continue
    named = {fault.where for fault in seen}
    for damaged in listed:
        if "can't be read" in damaged.problem and damaged.key not in named:
            yield Fault(damaged.key, damaged.problem)


def _fault(fault: Fault, advice: str) -> Finding:
    return Finding("fault", "invariants", f"{fault.where} {fault.problem}", advice)
