"""hermes-agent's own store, a JSON file and an SQLite index, beside the plugin's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from benchmarks.hermes_store import measured
from benchmarks.workload import Bench, Measure, Repetition, Workload
from tests.hermes.installations import VERSIONS

VERSION = VERSIONS[-1]
FEW, MANY = 1_000, 100_000
_OF_FEW = ("message", "new", "turn", "latest", "start", "prune")
_OF_MANY = ("message", "latest", "start", "prune")
_OF_PLUGIN = ("message", "new", "turn")
_LABELS = {
    "message": "a message on an existing session",
    "new": "a new session",
    "turn": "a whole turn: session, then counters",
    "latest": "the latest 1,000 sessions listed",
    "prune": "prune of a tenth",
    "start": "start-up",
}


def _run(bench: Bench) -> Iterator[Repetition]:
    backend = bench.backend.name
    few_works = [f"own.{work}" for work in _OF_FEW] + [f"plugin.{work}" for work in _OF_PLUGIN]
    many_works = [f"own.{work}" for work in _OF_MANY]
    few = measured(VERSION, backend, bench.size(FEW), bench.repetitions, few_works)
    many = measured(VERSION, backend, bench.size(MANY), bench.repetitions, many_works)
    for repetition in range(bench.repetitions):
        found = {f"few_{work}": _ms(few, f"own.{work}", repetition, bench) for work in _OF_FEW}
        found |= {f"many_{work}": _ms(many, f"own.{work}", repetition, bench) for work in _OF_MANY}
        for work in _OF_PLUGIN:
            plugin = _ms(few, f"plugin.{work}", repetition, bench)
            found[f"plugin_{work}"] = plugin
            found[f"{work}_factor"] = found[f"few_{work}"] / plugin
        yield found


def _ms(found: Mapping[str, Sequence[float]], work: str, repetition: int, bench: Bench) -> float:
    """Return the milliseconds of one repetition: its share of all times, the median."""
    times = found[work]
    share = len(times) // bench.repetitions
    return median(times[repetition * share : (repetition + 1) * share]) * 1000


def _measures() -> Iterator[Measure]:
    for work in _OF_FEW:
        yield Measure(f"few_{work}", f"own store, {FEW:,} sessions: {_LABELS[work]}", "ms")
    for work in _OF_PLUGIN:
        yield Measure(f"plugin_{work}", f"plugin, {FEW:,} sessions: {_LABELS[work]}", "ms")
        yield Measure(f"{work}_factor", "own store / plugin", "x")
    for work in _OF_MANY:
        yield Measure(f"many_{work}", f"own store, {MANY:,} sessions: {_LABELS[work]}", "ms")


WORKLOAD = Workload(
    "gateway",
    f"hermes-agent {VERSION}: its own store, and the plugin's",
    "The gateway's own `SessionStore` in an environment of its own, which keeps all sessions in"
    " memory and writes all of them, to `sessions.json` and to SQLite, at every change; and the"
    " same class as the redisstore plugin makes it, on a server. Client time of the gateway's own"
    " calls; the plugin's are the median of 100 for each repetition. Start-up loads what is saved."
    " A prune removes a tenth. Its list holds all sessions and is cut.",
    tuple(_measures()),
    _run,
    uses_server=False,
)
