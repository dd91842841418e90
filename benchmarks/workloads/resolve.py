"""The call of each message: does it cost more when there are more sessions?"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from time import perf_counter

from benchmarks.server_time import ServerTime, quantile
from benchmarks.sessions import chat_id, fill, now, source
from benchmarks.workload import IDLE_POLICY, Bench, Measure, Repetition, Workload
from redisstore import SessionStore
from tests.servers import Server

FEW, MANY = 1_000, 1_000_000
CALLS = 2_000
_STEM = "c"


class _Site:
    """A store with a number of sessions, and messages of sessions chosen at random."""

    def __init__(self, server: Server, store: SessionStore, sessions: int) -> None:
        self._store = store
        self._sessions = sessions
        self._random = random.Random(1)
        hour_ago, step = now() - timedelta(hours=1), timedelta(milliseconds=1)
        fill(server, store, _STEM, sessions, updated_at=hour_ago, step=step)
        store.get_or_create_session(source(chat_id(_STEM, 0)))
        self._clock = ServerTime(server)

    def call(self, calls: int) -> tuple[float, float]:
        """Return a call's server time (mean) and client time (median), in µs."""
        sources = [
            source(chat_id(_STEM, self._random.randrange(self._sessions))) for _ in range(calls)
        ]
        taken: list[float] = []
        self._clock.lap()
        for each in sources:
            started = perf_counter()
            self._store.get_or_create_session(each)
            taken.append(perf_counter() - started)
        lap = self._clock.lap()
        if lap.calls != calls or self._store.count_sessions() != self._sessions:
            raise RuntimeError(f"{calls} calls on existing sessions were expected: {lap}")
        return lap.microseconds / lap.calls, quantile(taken, 0.5) * 1e6


def _run(bench: Bench) -> Iterator[Repetition]:
    with ExitStack() as stack:
        few, many = (
            _Site(server, stack.enter_context(bench.store(server, IDLE_POLICY)), bench.size(size))
            for size in (FEW, MANY)
            for server in [stack.enter_context(bench.server())]
        )
        calls = bench.size(CALLS)
        for _ in range(bench.repetitions):
            few_server, few_client = few.call(calls)
            many_server, many_client = many.call(calls)
            yield {
                "few_server_us": few_server,
                "many_server_us": many_server,
                "server_growth": many_server / few_server,
                "few_client_us": few_client,
                "many_client_us": many_client,
                "client_growth": many_client / few_client,
            }


WORKLOAD = Workload(
    "resolve",
    "get_or_create_session on an existing session",
    f"Two servers side by side, one with {FEW:,} sessions, one with {MANY:,}; {CALLS:,} calls on"
    " each in turn, on sessions chosen at random, one connection over loopback TCP. Server time is"
    " EVALSHA's mean by `INFO commandstats`, client time the median of the calls.",
    (
        Measure("few_server_us", f"server time of a call, {FEW:,} sessions", "µs"),
        Measure("many_server_us", f"server time of a call, {MANY:,} sessions", "µs"),
        Measure("server_growth", "ratio of the two", "x"),
        Measure("few_client_us", f"client time of a call, {FEW:,} sessions", "µs"),
        Measure("many_client_us", f"client time of a call, {MANY:,} sessions", "µs"),
        Measure("client_growth", "ratio of the two", "x"),
    ),
    _run,
)
