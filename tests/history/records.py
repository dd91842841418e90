"""What is noted of each call: a line before it and one after, so that no kill loses it."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Literal

__all__ = ["Kind", "Operation", "Outcome", "Pause", "Recorder", "read"]

Kind = Literal["begin", "queued", "update", "end", "reset", "switch", "read", "stall"]
"""``queued``: a turn is known to stand in line. ``stall``: this process was not running."""
Outcome = Literal["unknown", "ok", "refused", "done", "stale"]
"""``done``: the message was handled before. ``stale``: the message is done now, and nothing was
counted. ``unknown``: no answer came; perhaps it was applied.
"""


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
    repeated: bool = False
    """Its first answer was lost: what came is the session as it was by then, perhaps later."""


_values_of = attrgetter(*(field.name for field in fields(Operation)))


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
        self._numbers = itertools.count(1)  # threads share it

    def invoke(self, kind: Kind, lane: str, **facts: object) -> Operation:
        """Note that a call is about to be made."""
        known = {"invoked": time.monotonic_ns(), **facts}
        operation = Operation(self._replica, next(self._numbers), kind, lane, **known)  # type: ignore[arg-type]
        self._write(operation)
        return operation

    def answer(self, operation: Operation, outcome: Outcome, **facts: object) -> None:
        """Note what came of it."""
        known = {"returned": time.monotonic_ns(), "outcome": outcome, **facts}
        self._write(replace(operation, **known))  # type: ignore[arg-type]

    def _write(self, operation: Operation) -> None:
        os.write(self._file, json.dumps(_values_of(operation)).encode() + b"\n")


def read(paths: Iterable[Path]) -> Iterator[Operation]:
    """Yield the operations of all processes; what was not answered is ``unknown``."""
    for path in paths:
        latest: dict[int, Operation] = {}
        # A kill may cut the last line short: its call was not made then, or its answer not heard.
        for line in path.read_text().split("\n")[:-1]:
            operation = Operation(*json.loads(line))
            latest[operation.number] = operation
        yield from latest.values()
