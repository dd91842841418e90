"""Cancellations that get through, whatever they hit inside of redis-py.

redis-py sends by ``asyncio.wait_for``. Before Python 3.12 that goes on as if nothing had happened
when it is cancelled just as the command has been sent (https://github.com/python/cpython/issues/86296),
and the task then waits for an answer that nobody wants any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_PATIENCE = 0.05
"""Seconds after which what was cancelled in vain is cancelled again."""


async def heeding(awaitable: Awaitable[T]) -> T:
    """Await it; if this task was cancelled meanwhile, it is when that is done, at the latest."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    result = await awaitable
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


def is_cancelled() -> bool:
    """Whether this task is, and not merely something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def interruptible(coroutine: Coroutine[Any, Any, T] | asyncio.Task[T], seconds: float) -> T:
    """Await what may take long; a cancellation ends it at once, and so does the time given.

    Raises:
        TimeoutError: it took longer.

    """
    task = asyncio.ensure_future(coroutine)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done:
            raise TimeoutError
        return task.result()
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_PATIENCE)
        if not task.cancelled():
            task.exception()  # asked for, so that asyncio does not miss it
