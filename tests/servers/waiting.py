"""Waiting for a fact instead of sleeping: the only clock the test servers know."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["wait_until"]

T = TypeVar("T")

_POLL_SECONDS = 0.01


def wait_until(
    predicate: Callable[[], T],
    *,
    timeout: float = 30.0,
    message: str = "the condition",
) -> T:
    """Poll `predicate` until it is truthy and return what it gave.

    Raises `TimeoutError` naming `message` after `timeout` seconds.  An exception of the
    predicate is the caller's: it ends the wait, so that a mistake is not polled until then.
    """
    deadline = time.monotonic() + timeout
    while True:
        outcome = predicate()
        if outcome:
            return outcome
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain for {message}")
        time.sleep(_POLL_SECONDS)
