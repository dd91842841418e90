"""Prune: is a sweep linear, how long does a call hold the server, what do all the checks cost?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.server_time import ServerTime, quantile
from benchmarks.sessions import fill, layout, now, source
from benchmarks.workload import IDLE_POLICY, Bench, Measure, Repetition, Workload
from redisstore import PruneBatch, SessionStore, StoreConfig
from redisstore.fields import to_ms
from tests.servers import Server

ENTRIES = 20_000
"""Kept ones at the old end, and as many to remove behind them."""
BATCH = StoreConfig().prune_batch_size
_BARE = Path(__file__).with_name("bare_prune.lua").read_text("utf-8")
_AGE = timedelta(days=200)
_CUTOFF = timedelta(days=90)
_KEPT, _STALE = "a", "b"
"""Stems of chat ids. Of equal times the sorted set puts the smaller name first."""

_MEASURES = (
    Measure("scanned", "entries scanned by the sweep", "entries"),
    Measure("calls", "calls of the sweep", "calls"),
    Measure("sweep_ms", "server time of the sweep", "ms"),
    Measure("half_sweep_ms", "the same at half the size", "ms"),
    Measure("growth", "ratio of the two (2 is linear)", "x"),
    Measure("call_median_us", "server time of a call: median", "µs"),
    Measure("call_p99_us", "server time of a call: p99", "µs"),
    Measure("call_max_us", "server time of a call: longest", "µs"),
    Measure("keeping_median_us", "a call that keeps all it looks at: median", "µs"),
    Measure("removing_median_us", "a call that removes all it looks at: median", "µs"),
    Measure("removing_p99_us", "a call that removes all it looks at: p99", "µs"),
    Measure("kept_rate", "kept entries passed in a second of server time", "1/s"),
    Measure("removed_rate", "entries removed in a second of server time", "1/s"),
    Measure("bare_rate", "the same by the bare script", "1/s"),
    Measure("bare_share", "removed a second, store / bare script", "x"),
)


@dataclass(slots=True)
class _Sweep:
    """The calls of one sweep: what each looked at and removed, and its server time."""

    scanned: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    microseconds: list[int] = field(default_factory=list)

    def add(self, clock: ServerTime, batch: PruneBatch) -> None:
        self.microseconds.append(clock.lap_of_one())
        self.scanned.append(batch.scanned)
        self.removed.append(len(batch.removed))

    def only(self, *, removing: bool) -> _Sweep:
        """Return the calls that removed all they looked at, or nothing of it."""
        chosen = _Sweep()
        calls = zip(self.scanned, self.removed, self.microseconds, strict=True)
        for scanned, removed, used in calls:
            if scanned and removed == (scanned if removing else 0):
                chosen.scanned.append(scanned)
                chosen.removed.append(removed)
                chosen.microseconds.append(used)
        return chosen

    @property
    def rate(self) -> float:
        """Entries looked at in a second of server time."""
        return _per_second(sum(self.scanned), sum(self.microseconds))


def _run(bench: Bench, *, distinct: bool) -> Iterator[Repetition]:
    entries = bench.size(ENTRIES)
    with bench.server() as server:
        for _ in range(bench.repetitions):
            half = _store_sweep(bench, server, entries // 2, distinct=distinct)
            full = _store_sweep(bench, server, entries, distinct=distinct)
            keeping, removing = full.only(removing=False), full.only(removing=True)
            bare_rate = _bare_rate(bench, server, entries, distinct=distinct)
            yield {
                "scanned": sum(full.scanned),
                "calls": len(full.microseconds),
                "sweep_ms": sum(full.microseconds) / 1000,
                "half_sweep_ms": sum(half.microseconds) / 1000,
                "growth": sum(full.microseconds) / sum(half.microseconds),
                "call_median_us": quantile(full.microseconds, 0.5),
                "call_p99_us": quantile(full.microseconds, 0.99),
                "call_max_us": max(full.microseconds),
                "keeping_median_us": quantile(keeping.microseconds, 0.5),
                "removing_median_us": quantile(removing.microseconds, 0.5),
                "removing_p99_us": quantile(removing.microseconds, 0.99),
                "kept_rate": keeping.rate,
                "removed_rate": removing.rate,
                "bare_rate": bare_rate,
                "bare_share": removing.rate / bare_rate,
            }


def _store_sweep(bench: Bench, server: Server, entries: int, *, distinct: bool) -> _Sweep:
    with bench.store(server, IDLE_POLICY) as store:
        load(server, store, entries, distinct=distinct)
        # One session is held, so that each call has to ask for holds.
        key = store.get_or_create_session(source("held")).session_key
        store.take_hold(key, "benchmark", ttl=3600)
        before = cutoff()
        # Teaches the server the script, which the first call would otherwise send by EVAL.
        store.prune_old_entries(before=before - _AGE)
        clock, sweep = ServerTime(server), _Sweep()
        report = store.prune_old_entries(before=before, on_batch=partial(sweep.add, clock))
        if report.removed != entries or report.kept["suspended"] != entries:
            raise RuntimeError(f"{entries} kept and {entries} removed were expected: {report}")
    return sweep


def _bare_rate(bench: Bench, server: Server, entries: int, *, distinct: bool) -> float:
    with bench.store(server, IDLE_POLICY) as store:
        prefix, index = load(server, store, entries, distinct=distinct, kept=False)
    bare: Any = server.client().register_script(_BARE)
    before = to_ms(cutoff())
    bare(keys=[prefix, index], args=[0, 1])
    clock, removed = ServerTime(server), 0
    while batch := bare(keys=[prefix, index], args=[before, BATCH]):
        removed += batch
    if removed != entries:
        raise RuntimeError(f"the bare script removed {removed} of {entries}")
    return _per_second(removed, clock.lap().microseconds)


def cutoff() -> datetime:
    """Return a moment between the last activity of what is loaded, and now."""
    return now() - _CUTOFF


def load(
    server: Server, store: SessionStore, entries: int, *, distinct: bool, kept: bool = True
) -> tuple[str, str]:
    """Empty the server and fill it; return the keys of prune: the partition and its index."""
    server.client().flushall()
    oldest, step = now() - _AGE, timedelta(milliseconds=1 if distinct else 0)
    if kept:
        fill(server, store, _KEPT, entries, updated_at=oldest, step=step, suspended=True)
    behind = oldest + entries * step
    fill(server, store, _STALE, entries, updated_at=behind, step=step)
    _, home = layout(store)
    return home.prefix, home.updated_at


def _per_second(entries: int, microseconds: int) -> float:
    return entries / max(microseconds, 1) * 1e6


_METHOD = (
    "{entries:,} suspended sessions at the old end and as many stale ones behind them, {times}, all"
    " four indexes in use, one session held. One sweep by `SessionStore.prune_old_entries`, batches"
    f" of {BATCH}. Server time is the difference of EVALSHA's time in `INFO commandstats` from one"
    " call to the next. The bare script does one HMGET an entry, one UNLINK and one ZREM a batch,"
    " on the same stale sessions, in batches of the same size; rates compare the calls that"
    " removed."
)


def _workload(name: str, title: str, times: str, *, distinct: bool) -> Workload:
    return Workload(
        name,
        title,
        _METHOD.format(entries=ENTRIES, times=times),
        _MEASURES,
        partial(_run, distinct=distinct),
    )


DISTINCT_TIMES = _workload(
    "prune_distinct", "Prune, distinct times", "a millisecond apart", distinct=True
)
EQUAL_TIMES = _workload(
    "prune_equal", "Prune, equal times", "all last active in the same millisecond", distinct=False
)
