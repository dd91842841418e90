"""Runs workloads on backends and gathers what they find."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import timedelta

from benchmarks.machine import load, machine
from benchmarks.results import Results, Row, Section
from benchmarks.sessions import check, fill, now
from benchmarks.workload import IDLE_POLICY, Bench, Workload
from tests.servers import Backend

OnStep = Callable[[str, int], None]
"""Told what runs now, and how many repetitions of it are done."""


def run(
    workloads: Sequence[Workload],
    backends: Sequence[Backend],
    *,
    repetitions: int,
    scale: float,
    on_step: OnStep,
) -> Results:
    """Run everything; a workload without a server is run once, under the backend ``""``."""
    facts = machine()
    found: dict[str, list[Row]] = {workload.name: [] for workload in workloads}
    versions: dict[str, str] = {}
    for backend in backends:
        bench = Bench(backend, repetitions, scale)
        versions[backend.name] = _prepared(bench)
        with bench.stack:
            for workload in workloads:
                if workload.uses_server or backend is backends[0]:
                    found[workload.name] += _rows(workload, bench, on_step)
    sections = tuple(
        Section(workload=one.name, title=one.title, method=one.method, rows=tuple(found[one.name]))
        for one in workloads
    )
    return Results(
        machine={**facts, "load at the end": load()},
        backends=versions,
        repetitions=repetitions,
        scale=scale,
        sections=sections,
    )


def _rows(workload: Workload, bench: Bench, on_step: OnStep) -> list[Row]:
    backend = bench.backend.name if workload.uses_server else ""
    label = workload.label(backend)
    needed = {measure.name for measure in workload.measures if not measure.optional}
    values: dict[str, list[float]] = {measure.name: [] for measure in workload.measures}
    on_step(label, 0)
    for done, repetition in enumerate(workload.run(bench), start=1):
        if not needed <= repetition.keys() <= values.keys():
            raise RuntimeError(f"{workload.name} promises {list(values)}, not {list(repetition)}")
        for name, value in repetition.items():
            if not math.isfinite(value):
                raise RuntimeError(f"{workload.name} has measured {name} as {value}")
            values[name].append(value)
        on_step(label, done)
    return [
        Row(
            measure=measure.name,
            label=measure.label,
            unit=measure.unit,
            backend=backend,
            values=tuple(values[measure.name]),
        )
        for measure in workload.measures
        if values[measure.name]
    ]


def _prepared(bench: Bench) -> str:
    """Check that copies of sessions are as the store writes them; return the server's version."""
    with bench.server() as server, bench.store(server, IDLE_POLICY) as store:
        week_ago, step = now() - timedelta(days=7), timedelta(milliseconds=1)
        fill(server, store, "plain", 50, updated_at=week_ago, step=step)
        fill(server, store, "suspended", 50, updated_at=week_ago, suspended=True)
        check(store)
        allocator = server.info("memory")["mem_allocator"]
    product, _, _ = bench.backend.name.partition("-")
    return f"{product.title()} {bench.backend.version}, {allocator}"
