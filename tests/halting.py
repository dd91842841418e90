"""Operations of several calls that a test holds between two of them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from redisstore import SessionStore
from redisstore.calls.call import Ask


class Halting:
    """An operation of several calls that can be held between two of them."""

    def __init__(self, store: SessionStore, steps: Generator[Any, Any, Any]) -> None:
        self._runner, self._steps = store._runner, steps
        self._replies: Any = None

    def run(self, *, until: str = "") -> Any:
        """Go on until that script was called, or to the end."""
        while True:
            try:
                step = self._steps.send(self._replies)
            except StopIteration as done:
                return done.value
            if not isinstance(step, Ask):
                self._replies = None
                continue
            self._replies = self._runner.run_all(step.calls)
            if any(call.script == until for call in step.calls):
                return None

    def steps(self, calls: int) -> tuple[bool, Any]:
        """Go on for so many round trips; whether that was the end, and then its result."""
        for _ in range(calls):
            try:
                step = self._steps.send(self._replies)
            except StopIteration as done:
                return True, done.value
            self._replies = self._runner.run_all(step.calls) if isinstance(step, Ask) else None
        return False, None
