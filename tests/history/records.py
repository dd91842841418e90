"""What is noted of each call: a line before it and one after, so that no kill loses it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

__all__ = ["Operation", "Pause", "Recorder", "read"]

Kind = Literal["begin", "queued", "update", "end", "reset"]
Outcome = Literal["unknown", "ok", "refused", "done"]
"""``done``: the message was handled before. ``unknown``: no answer came; perhaps it was applied."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a replica; times are those of the machine's monotonic clock (ns)."""

    replica: str
    number: int
    kind: Kind
    lane: str
    message: str = ""
    token: str = ""
    tokens: int = 0
    """What it adds to the counters."""
    invoked: int = 0
    returned: int = 0
    outcome: Outcome = "unknown"
    fence: int = 0
    session_id: str = ""
    version: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """A replica that was stopped for longer than its lease."""

    replica: str
    stopped: int
    woken: int


class Recorder:
    """Writes the history of one process."""

    def __init__(self, path: Path, replica: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._replica = replica
        self._number = 0

    def invoke(self, kind: Kind, lane: str, **facts: object) -> Operation:
        """Note that a call is about to be made."""
        self._number += 1
        fields = {"invoked": time.monotonic_ns(), **facts}
        operation = Operation(self._replica, self._number, kind, lane, **fields)  # type: ignore[arg-type]
        self._write(operation)
        return operation

    def answer(self, operation: Operation, outcome: Outcome, **facts: object) -> None:
        """Note what came of it."""
        fields = {"returned": time.monotonic_ns(), "outcome": outcome, **facts}
        self._write(replace(operation, **fields))  # type: ignore[arg-type]

    def _write(self, operation: Operation) -> None:
        os.write(self._file, json.dumps(asdict(operation)).encode() + b"\n")


def read(paths: Iterable[Path]) -> Iterator[Operation]:
    """Yield the operations of all processes; what was not answered is ``unknown``."""
    for path in paths:
        latest: dict[int, Operation] = {}
        for line in path.read_text().splitlines():
            operation = Operation(**json.loads(line))
            latest[operation.number] = operation
        yield from latest.values()
