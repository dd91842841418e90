"""The same work by redisstore, by what one would take instead, and by the server's limits."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter
from typing import TypeAlias

from benchmarks.alternatives import ALTERNATIVES, Alternative
from benchmarks.server_time import quantile
from benchmarks.workload import Bench, Measure, Repetition, Workload
from tests.servers import Server

SESSIONS = 200
CALLS = 200
_AT_A_TIME = 20
"""So many by one, then so many by the next: whatever disturbs them, disturbs all."""
_NEW = 1_000_000
Act: TypeAlias = Callable[[Alternative, int], Awaitable[object]]


class _Comparison:
    """Everybody who does one kind of work, and what it took them."""

    def __init__(self, act: Act, kinds: Sequence[type[Alternative]]) -> None:
        self._act = act
        self._kinds = kinds
        self._done = 0

    @asynccontextmanager
    async def opened(self, server: Server, sessions: int) -> AsyncIterator[list[Alternative]]:
        """Open all, each with its sessions."""
        alternatives = [kind(server, db) for db, kind in enumerate(self._kinds)]
        for one in alternatives:
            await one.open(sessions, connections=1)
        try:
            yield alternatives
        finally:
            for one in alternatives:
                await one.close()

    async def repeat(self, alternatives: Sequence[Alternative], calls: int) -> Repetition:
        """Return the median of the calls of each, in microseconds, and how that compares."""
        taken: dict[str, list[float]] = {one.name: [] for one in alternatives}
        gc.collect()
        for _ in range(0, calls, _AT_A_TIME):
            for one in alternatives:
                for number in range(self._done, self._done + _AT_A_TIME):
                    started = perf_counter()
                    await self._act(one, number)
                    taken[one.name].append((perf_counter() - started) * 1e6)
            self._done += _AT_A_TIME
        medians = {name: quantile(values, 0.5) for name, values in taken.items()}
        return medians | {
            f"{one.name}_factor": medians[one.name] / medians[_reference(one)]
            for one in alternatives
            if one.name != _reference(one)
        }


def _reference(one: Alternative | type[Alternative]) -> str:
    return "ours_async" if one.concurrent else "ours"


def _run(bench: Bench, *, acts: Callable[[int], Act], does: str) -> Iterator[Repetition]:
    sessions, calls = bench.size(SESSIONS), bench.size(CALLS)
    comparison = _Comparison(acts(sessions), _able(does))
    with bench.server() as server, asyncio.Runner() as runner:
        opening = comparison.opened(server, sessions)
        alternatives = runner.run(opening.__aenter__())
        try:
            runner.run(comparison.repeat(alternatives, _AT_A_TIME))
            for _ in range(bench.repetitions):
                yield runner.run(comparison.repeat(alternatives, calls))
        finally:
            runner.run(opening.__aexit__(None, None, None))


def _able(does: str) -> list[type[Alternative]]:
    return [kind for kind in ALTERNATIVES if does in kind.does]


def _message(sessions: int) -> Act:
    return lambda one, number: one.message(number % sessions)


def _create(_: int) -> Act:
    return lambda one, number: one.create(_NEW + number)


def _turn(sessions: int) -> Act:
    return lambda one, number: one.turn(number % sessions, f"m-{number}")


def _measures(does: str) -> Iterator[Measure]:
    for kind in _able(does):
        yield Measure(kind.name, kind.label, "µs")
        if kind.name != _reference(kind):
            yield Measure(f"{kind.name}_factor", "the same / redisstore", "x")


_METHOD = (
    f" Each has {SESSIONS:,} sessions in a database of its own, on one server, and one connection;"
    f" {CALLS:,} calls each, {_AT_A_TIME} by one, then {_AT_A_TIME} by the next, in one process."
    " Client time, median. What is blocking is compared with `SessionStore`, what is for asyncio"
    " with `AsyncSessionStore`."
)


def _workload(
    name: str, title: str, method: str, acts: Callable[[int], Act], does: str
) -> Workload:
    return Workload(
        name,
        title,
        method + _METHOD,
        tuple(_measures(does)),
        partial(_run, acts=acts, does=does),
        needs_others=True,
    )


MESSAGE = _workload(
    "beside_message",
    "Beside others: a message on an existing session",
    "The session is loaded, and that it was active now is stored.",
    _message,
    "message",
)
NEW = _workload(
    "beside_new",
    "Beside others: a new session",
    "A session is stored that was not there.",
    _create,
    "create",
)
TURN = _workload(
    "beside_turn",
    "Beside others: a whole turn",
    "A message is begun and ended: activity is stored at the beginning, activity and three counters"
    " at the end. redisstore and aiogram lock the session for the time in between; the others do"
    " not, and only redisstore remembers which messages were answered, and lets others wait in"
    " line.",
    _turn,
    "turn",
)
