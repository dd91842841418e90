"""One turn that waits for another, through either face, always in the same order."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from tests.faces import Blocking
from tests.processes.lanes import source_of
from tests.servers import wait_until

if TYPE_CHECKING:
    from redisstore import SessionStore
    from tests.costs.sockets import Wire

__all__ = ["WAIT", "Scene", "turn_with_one_waiter"]

WAIT = 150.0
"""Seconds that one waits at most: so much that no delay of the machine changes its digits."""
_LATER = 3600.0


@dataclass
class Scene:
    """What is at hand beside the store that is counted."""

    wire: Wire
    second: Any = None
    """Another such store: in one, two threads would now and then wait for one another."""


def turn_with_one_waiter(store: SessionStore, scene: Scene) -> None:
    """Run a turn, and end it when another waits, of another store; run that too.

    Whoever hands a lane over looks later whether it was claimed: that is counted as
    ``recover_turns``, and here it is never due.
    """
    with (
        patch("redisstore.sync.claim_timers.LOOK_SLACK", _LATER),
        patch("redisstore.aio.claim_timers.LOOK_SLACK", _LATER),
    ):
        dressed: Any = store
        if isinstance(dressed, Blocking):
            dressed._loop.run_until_complete(_by_tasks(dressed._store, scene))
        else:
            _by_threads(store, scene)


def _by_threads(store: SessionStore, scene: Scene) -> None:
    def wait_in_line() -> None:
        with scene.second.turn(source_of("1"), "m-2", WAIT) as turn:
            turn.end(output_tokens=3)

    with ThreadPoolExecutor(1) as pool:
        with store.turn(source_of("1"), "m-1") as turn:
            waiting = pool.submit(wait_in_line)
            wait_until(lambda: _blocks(scene.wire), timeout=60, message="BLPOP")
            turn.end(output_tokens=3)
        waiting.result(60)


async def _by_tasks(store: Any, scene: Scene) -> None:
    async def wait_in_line() -> None:
        async with scene.second._store.turn(source_of("1"), "m-2", WAIT) as turn:
            await turn.end(output_tokens=3)

    async with store.turn(source_of("1"), "m-1") as turn:
        waiting = asyncio.create_task(wait_in_line())
        while not _blocks(scene.wire):  # noqa: ASYNC110 - nobody else tells
            await asyncio.sleep(0.001)
        await turn.end(output_tokens=3)
    await waiting


def _blocks(wire: Wire) -> bool:
    return wire.traffic.commands["blpop"] > 0
