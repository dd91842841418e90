"""A run in two tables: each target beside what was measured, and all that was compared."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from benchmarks.alternatives import ALTERNATIVES, Alternative
from benchmarks.cells import Table, cell, number
from benchmarks.results import Results
from benchmarks.targets import TARGETS, Target

_BESIDE = {
    "beside_message": "a message",
    "beside_new": "a new session",
    "beside_turn": "a whole turn",
    "people": "64 people at once",
}


def summaries(results: Results) -> list[Table]:
    """Return those that the run has something for."""
    tables = (_targets(results), _beside(results))
    return [table for table in tables if table.lines]


def _targets(results: Results) -> Table:
    names = [*results.backends]
    lines = [
        [target.label, f"{target.bound} {number(target.value)}", *verdicts]
        for target in TARGETS
        if any(verdicts := [_verdict(target, results, name) for name in names])
    ]
    return Table(
        "What was asked for, and what was measured",
        "Each bound is on the median; the tables further down say how it was measured.",
        ["target", *names],
        lines,
    )


def _verdict(target: Target, results: Results, backend: str) -> str:
    row = target.row(results, backend)
    if row is None:
        return ""
    words = {True: ": met", False: ": **not met**", None: ""}
    return cell(row) + words[target.met(row)]


def _beside(results: Results) -> Table:
    order = " / ".join(results.backends)
    lines = [line for kind in ALTERNATIVES if any((line := _line(kind, results))[1:])]
    return Table(
        "Beside others, at a glance",
        f"Time as a multiple of redisstore's, on {order}: above 1 redisstore is faster. Blocking"
        " ones beside `SessionStore`, those for asyncio beside `AsyncSessionStore`. The last column"
        " is of messages a second: above 1 the other is faster. What each does less is said above.",
        list(_BESIDE.values()),
        lines,
    )


def _line(kind: type[Alternative], results: Results) -> list[str]:
    own = "ours_async" if kind.concurrent else "ours"
    if kind.name == own:
        return [kind.label, *("1" if results.section(name) else "" for name in _BESIDE)]
    return [kind.label, *(_ratios(kind.name, own, results, workload) for workload in _BESIDE)]


def _ratios(name: str, own: str, results: Results, workload: str) -> str:
    return " / ".join(_each_ratio(name, own, results, workload))


def _each_ratio(name: str, own: str, results: Results, workload: str) -> Iterator[str]:
    section = results.section(workload)
    if section is None:
        return
    for backend in results.backends:
        other, ours = section.find(name, backend), section.find(own, backend)
        if other and ours:
            pairs = zip(other.values, ours.values, strict=True)
            yield number(median(theirs / mine for theirs, mine in pairs))
