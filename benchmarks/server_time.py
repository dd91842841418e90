"""How long the server itself worked, by its own count, and quantiles of such times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.servers import Server


class Lap(NamedTuple):
    """The work that the server did on a command since the lap before."""

    calls: int
    microseconds: int


class ServerTime:
    """Follows one command in ``INFO commandstats``: its calls, and its time in microseconds.

    The server counts the whole of a script under EVALSHA, and nothing of the way to and from the
    client. Asking is not counted under EVALSHA. Time in which the machine did something else
    while the script ran is counted.
    """

    def __init__(self, server: Server, command: str = "evalsha") -> None:
        self._client: Any = server.client()  # redis-py types INFO by section, not by content
        self._line = f"cmdstat_{command}"
        self._before = self._total()

    def lap(self) -> Lap:
        """Return what was done since the last lap, or since this was made."""
        now, before = self._total(), self._before
        self._before = now
        return Lap(now.calls - before.calls, now.microseconds - before.microseconds)

    def lap_of_one(self) -> int:
        """Return the microseconds of the single call since the last lap."""
        lap = self.lap()
        if lap.calls != 1:
            raise RuntimeError(f"{lap.calls} calls in a lap that should hold one")
        return lap.microseconds

    def _total(self) -> Lap:
        line = self._client.info("commandstats").get(self._line, {"calls": 0, "usec": 0})
        return Lap(int(line["calls"]), int(line["usec"]))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
