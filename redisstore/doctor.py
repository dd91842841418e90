"""Whether a store is sound: the server's settings, the layout, and every entry with its indexes.

Only judgement lives here. What is judged comes from ``SessionStore.server_info``, ``layout`` and
``audit``; none of them needs CONFIG.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from redisstore.calls.audit import Fault
from redisstore.errors import CorruptEntry, LayoutMismatch, StoreRefused
from redisstore.keys import LAYOUT_VERSION
from redisstore.server_info import ServerInfo
from redisstore.sync.store import SessionStore

Severity: TypeAlias = Literal["ok", "warning", "fault"]

OLDEST_SUPPORTED = {"Redis": (7, 0), "Valkey": (7, 2)}
MEMORY_WARNING = 0.9
"""Share of ``maxmemory`` in use from which there is a warning."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, how it is, and what to do about it."""

    severity: Severity
    check: str
    """What was looked at: ``server``, ``persistence``, ``memory``, ``layout``, ``replicas`` ..."""
    message: str
    advice: str = ""
    """Empty where there is nothing to do."""


def examine(store: SessionStore, *, repair: bool = False) -> Iterator[Finding]:
    """Look at everything and yield what is found, as it is found.

    Reads the whole store in short calls, safe beside live traffic. ``repair`` puts the indexes
    right, then reads everything once more: what is a fault then is left for a person.

    Raises:
        StoreUnavailable: Redis does not answer.
        StoreRefused: it refuses what the checks of the store itself need.

    """
    yield from _server(store)
    try:
        context = store.layout()
    except (LayoutMismatch, CorruptEntry) as error:
        advice = "give the right --namespace, or read the record with HGETALL and put it right"
        yield Finding("fault", "layout", str(error), advice)
        return
    if context is None:
        namespace = store.config.namespace
        yield Finding("ok", "layout", f"there is no store in namespace {namespace} yet")
        return
    count = context.space.partition_count
    what = "1 partition" if count == 1 else f"{count} partitions"
    yield Finding("ok", "layout", f"version {LAYOUT_VERSION}, {what}")
    yield from _dead_replicas(store)
    yield from _repaired(store) if repair else _invariants(store)


def _server(store: SessionStore) -> Iterator[Finding]:
    try:
        info = store.server_info()
    except StoreRefused as refusal:
        advice = "allow INFO (ACL: +info) to have version, persistence and memory checked"
        yield Finding("warning", "server", f"does not tell about itself: {refusal}", advice)
        return
    yield judge_version(info)
    yield from judge_persistence(info)
    yield from judge_memory(info)


def judge_version(info: ServerInfo) -> Finding:
    """Say whether the server is new enough for the scripts."""
    version = ".".join(map(str, info.version))
    oldest = OLDEST_SUPPORTED[info.product]
    wanted = f"{info.product} {'.'.join(map(str, oldest))}"
    if info.version < oldest:
        message = f"{info.product} {version} is too old"
        return Finding("fault", "server", message, f"upgrade to {wanted} or newer")
    return Finding("ok", "server", f"{info.product} {version}")


def judge_persistence(info: ServerInfo) -> Iterator[Finding]:
    """Say whether sessions outlive the server process."""
    if not info.last_write_ok:
        yield Finding(
            "fault",
            "persistence",
            "the last write to the disk failed",
            "look for a full or read-only disk in the server's log, then run BGSAVE",
        )
    if info.append_only:
        yield Finding("ok", "persistence", "append-only file")
    elif info.has_snapshots:
        yield Finding("ok", "persistence", "snapshots; a crash loses what came after the last one")
    else:
        yield Finding(
            "warning",
            "persistence",
            "no append-only file and no snapshot: a restart may lose every session",
            "redis-cli CONFIG SET appendonly yes, then CONFIG REWRITE",
        )


def judge_memory(info: ServerInfo) -> Iterator[Finding]:
    """Say whether the server may throw entries away, or is about to refuse writes."""
    keep_all = "redis-cli CONFIG SET maxmemory-policy noeviction, then CONFIG REWRITE"
    if info.eviction_policy != "noeviction":
        policy = f"maxmemory-policy is {info.eviction_policy}"
        if info.maxmemory:
            message = f"{policy}: entries vanish when memory is short, their index members stay"
            yield Finding("fault", "memory", message, keep_all)
        else:
            message = f"{policy}; it does no harm only as long as maxmemory is 0"
            yield Finding("warning", "memory", message, keep_all)
    used = f"{info.used_memory:,} bytes used"
    if not info.maxmemory:
        yield Finding("ok", "memory", f"{used}, no limit")
        return
    of_limit = f"{used} of {info.maxmemory:,} ({info.used_memory / info.maxmemory:.0%})"
    if info.used_memory > MEMORY_WARNING * info.maxmemory:
        advice = "raise maxmemory or run redisstore prune: at the limit, writes are refused"
        yield Finding("warning", "memory", of_limit, advice)
    else:
        yield Finding("ok", "memory", of_limit)


def _dead_replicas(store: SessionStore) -> Iterator[Finding]:
    """Name the replicas that went without a word; others take up what they had in hand."""
    try:
        for one in store.list_replicas():
            if not one.alive:
                last = f"{one.beat_at:%Y-%m-%d %H:%M:%S} UTC" if one.beat_at else "an unknown time"
                message = f"replica {one.name} is dead, its last heartbeat was at {last}"
                advice = "start it again, or let it be: it leaves the list a day after it died"
                yield Finding("warning", "replicas", message, advice)
    except CorruptEntry as error:
        yield Finding("fault", "replicas", str(error), "remove that key: each heartbeat fills it")


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
