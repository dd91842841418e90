"""A run in two tables: each target beside what was measured, and all that was compared."""

from __future__ import annotations

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
_MORE_IS_BETTER = "people"


def summaries(results: Results) -> list[Table]:
    """Return those that the run has something for."""
    tables = (_targets(results), _beside(results), _losses(results))
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
        " is of messages a second: above 1 the other is faster. They all do less, as said above.",
        list(_BESIDE.values()),
        lines,
    )


def _line(kind: type[Alternative], results: Results) -> list[str]:
    own = _own(kind)
    if kind.name == own:
        return [kind.label, *(_one(own, results, workload) for workload in _BESIDE)]
    return [kind.label, *(_ratios(kind, results, workload) for workload in _BESIDE)]


def _own(kind: type[Alternative]) -> str:
    return "ours_async" if kind.concurrent else "ours"


def _one(own: str, results: Results, workload: str) -> str:
    section = results.section(workload)
    return "1" if section and any(row.measure == own for row in section.rows) else ""


def _ratios(kind: type[Alternative], results: Results, workload: str) -> str:
    found = (_ratio(kind, results, workload, backend) for backend in results.backends)
    return " / ".join(number(ratio) for ratio in found if ratio is not None)


def _ratio(kind: type[Alternative], results: Results, workload: str, backend: str) -> float | None:
    """Return its value as a multiple of redisstore's, the median of the repetitions."""
    section = results.section(workload)
    if section is None or kind.name == _own(kind):
        return None
    theirs, ours = section.find(kind.name, backend), section.find(_own(kind), backend)
    if theirs is None or ours is None:
        return None
    return median(one / own for one, own in zip(theirs.values, ours.values, strict=True))


def _losses(results: Results) -> Table:
    """Return each target that was missed, and each alternative that was faster, on any server."""
    names = [*results.backends]
    lines = []
    for target in TARGETS:
        missed = [_missed(target, results, name) for name in names]
        if any(missed):
            lines.append([f"{target.label}: {target.bound} {number(target.value)}", *missed])
    for kind in (each for each in ALTERNATIVES if "create" in each.does):
        for workload, work in _BESIDE.items():
            faster = [_faster(kind, results, workload, name) for name in names]
            if any(faster):
                lines.append([f"{work}: {kind.label}", *faster])
    return Table(
        "Where this run lost",
        "Targets that were missed, with what was measured; then whoever took less time than"
        " redisstore for the same work (the limits aside), with its share of redisstore's time (of"
        " 64 people, how many times as many messages a second). Empty: not lost there.",
        names,
        lines,
    )


def _missed(target: Target, results: Results, backend: str) -> str:
    row = target.row(results, backend)
    return cell(row) if row and target.met(row) is False else ""


def _faster(kind: type[Alternative], results: Results, workload: str, backend: str) -> str:
    ratio = _ratio(kind, results, workload, backend)
    lost = ratio is not None and (ratio > 1 if workload == _MORE_IS_BETTER else ratio < 1)
    return number(ratio) if ratio is not None and lost else ""
