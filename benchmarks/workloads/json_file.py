"""What a message costs where the map of sessions is one JSON file, rewritten each time."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.server_time import quantile
from benchmarks.sessions import now, real_rows
from benchmarks.workload import Bench, Measure, Repetition, Workload

FEW, MANY = 1_000, 100_000
_FEW_MESSAGES = 20


def _run(bench: Bench) -> Iterator[Repetition]:
    few, many = real_rows(bench.size(FEW)), real_rows(bench.size(MANY))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "sessions.json"
        for _ in range(bench.repetitions):
            few_ms = quantile([_message(path, few) for _ in range(_FEW_MESSAGES)], 0.5)
            many_ms = _message(path, many)
            yield {
                "few_ms": few_ms,
                "many_ms": many_ms,
                "growth": many_ms / few_ms,
                "row_bytes": path.stat().st_size / len(many),
            }


def _message(path: Path, rows: dict[str, dict[str, Any]]) -> float:
    """Touch one session and replace the file, safely; return the milliseconds."""
    key = next(iter(rows))
    started = perf_counter()
    rows[key]["updated_at"] = now().replace(tzinfo=None).isoformat()
    fresh = path.with_suffix(".tmp")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(json.dumps(rows, indent=2))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return (perf_counter() - started) * 1000


WORKLOAD = Workload(
    "json_file",
    "What it replaces: one JSON file, rewritten on every message",
    "The rows of a real gateway's `sessions.json`, multiplied. A message changes one row's"
    " `updated_at`, then `json.dumps` with the file's own indent of 2, write, fsync, and a rename"
    f" over the old file. Median of {_FEW_MESSAGES} messages at {FEW:,} sessions, one message at"
    f" {MANY:,} for each repetition. No server takes part.",
    (
        Measure("few_ms", f"a message, {FEW:,} sessions", "ms"),
        Measure("many_ms", f"a message, {MANY:,} sessions", "ms"),
        Measure("growth", "ratio of the two", "x"),
        Measure("row_bytes", "bytes a session in the file", "B"),
    ),
    _run,
    uses_server=False,
)
