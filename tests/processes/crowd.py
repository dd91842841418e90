"""A crowd: each process has a turn waiting for each lane, in an order of arrival that is known."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from tests.servers import wait_until

from .lanes import source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redisstore import SessionStore

    from .crew import Crew

__all__ = ["TOKENS", "Crowd", "Served", "by_lane", "take_turns"]

TOKENS = 3
"""What each turn adds to the counter of its lane."""
_PATIENCE = 60.0
"""Seconds until all turns of a process have to stand in line."""


class Served(NamedTuple):
    """A turn that was served: its lane, its place in line, its fence, and when it had the lane."""

    name: str
    place: int
    fence: int
    began: float
    left: float
    """By the monotonic clock, which all processes of a machine share."""


def take_turns(store: SessionStore, names: Sequence[str], place: int, work: float) -> list[Served]:
    """Have a turn on each lane, all at once, and work for some seconds in each."""

    def handle(name: str) -> Served:
        with store.turn(source_of(name), f"{name}/{place}") as turn:
            began = time.monotonic()
            if work:
                time.sleep(work)
            left = time.monotonic()
            turn.end(output_tokens=TOKENS)
        return Served(name, place, turn.fence, began, left)

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(handle, names))


class Crowd:
    """Holds all lanes, lets the processes of a crew stand in line one behind the other, lets go."""

    def __init__(
        self, crew: Crew, store: SessionStore, names: Sequence[str], work: float = 0
    ) -> None:
        self._crew = crew
        self._store = store
        self._names = names
        self._work = work
        self._shift = crew.begin([], store.config)

    def serve(self, waiting: Callable[[], int]) -> tuple[dict[str, float], list[Served]]:
        """Return when each lane was let go, and all turns as they were served.

        ``waiting`` tells how many stand in line.
        """
        with ExitStack() as stack:
            first = {
                name: stack.enter_context(self._store.turn(source_of(name))) for name in self._names
            }
            for place in range(self._crew.size):
                self._join(place)
                count = (place + 1) * len(self._names)
                wait_until(
                    lambda count=count: waiting() == count,  # type: ignore[misc]
                    timeout=_PATIENCE,
                    message=f"{count} turns in line",
                )
            let_go = {}
            for name, turn in first.items():
                let_go[name] = time.monotonic()
                turn.end()
        return let_go, [served for some in self._shift.finish() for served in some]

    def _join(self, place: int) -> None:
        arguments = {"names": self._names, "place": place, "work": self._work}
        self._shift.instruct(place, "take_turns", arguments)
        self._shift.go([place])


def by_lane(served: Iterable[Served]) -> dict[str, list[Served]]:
    """Return the turns of each lane in the order in which the store let them in."""
    lanes: dict[str, list[Served]] = {}
    for turn in sorted(served, key=lambda turn: turn.fence):
        lanes.setdefault(turn.name, []).append(turn)
    return lanes
