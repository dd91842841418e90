"""Sweeps that a test carries out by hand, so that something can happen in the middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redisstore.calls.call import Found, Sweep

__all__ = ["carried_out"]


def carried_out(store: Any, sweep: Sweep[Any], between: Callable[[], object]) -> list[Any]:
    """Return what a sweep finds; something happens ``between`` its first call and the second."""
    found: list[Any] = []
    asked, replies = 0, None
    while True:
        try:
            step = sweep.send(replies)
        except StopIteration:
            assert asked > 1
            return found
        replies = None
        if isinstance(step, Found):
            found.append(step.item)
            continue
        if asked == 1:
            between()
        calls = step.calls
        replies = store._run_all(lambda _, calls=calls: calls)
        asked += 1
