"""What the store adds to the round trip that the script itself takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from itertools import count
from time import perf_counter
from typing import Any

from benchmarks.alternatives.bare import BareCommands
from benchmarks.alternatives.plain import pooled
from benchmarks.server_time import quantile
from benchmarks.sessions import chat_id, fill, now, source
from benchmarks.without_python import RANDOM, program, rate
from benchmarks.workload import IDLE_POLICY, Bench, Measure, Repetition, Workload, store_config
from redisstore import AsyncSessionStore, SessionSource
from tests.servers import Server

SESSIONS = 1_000
CALLS = 2_000
CONCURRENCY = 64
_AT_A_TIME = 50
_PARTS = 4
_WITHOUT_PYTHON = 10_000
_LEAST = 2_000
"""It knows no time shorter than a millisecond."""
_STEM = "r"


def _run(bench: Bench) -> Iterator[Repetition]:
    sessions, calls = bench.size(SESSIONS), bench.size(CALLS)
    with (
        bench.server() as server,
        bench.store(server, IDLE_POLICY) as store,
        asyncio.Runner() as runner,
    ):
        fill(server, store, _STEM, sessions, updated_at=now() - timedelta(hours=1))
        sources = [source(chat_id(_STEM, number)) for number in range(sessions)]
        bare = BareCommands(store, sources)
        client: Any = server.client(protocol=2)
        crowd = runner.run(_opened(server, sources, bare))
        for _ in range(bench.repetitions):
            ways: dict[str, Callable[[int], object]] = {
                "ping": lambda _: client.ping(),
                "bare": lambda number: client.execute_command(*bare[number]),
                "store": lambda number: store.get_or_create_session(sources[number]),
            }
            took = _took(ways, sessions, calls)
            yield {
                **{f"{name}_us": used for name, used in took.items()},
                "store_factor": took["store"] / took["bare"],
                **runner.run(crowd.repetition(calls)),
                **_without_python(server, bare, max(_LEAST, bench.size(_WITHOUT_PYTHON))),
            }
        runner.run(crowd.close())


def _took(ways: dict[str, Callable[[int], object]], sessions: int, calls: int) -> dict[str, float]:
    """Return the median of the calls of each way, in µs; some of these, then some of those."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for first in range(0, calls, _AT_A_TIME):
        for name, call in ways.items():
            for number in range(first, first + _AT_A_TIME):
                started = perf_counter()
                call(number % sessions)
                taken[name].append((perf_counter() - started) * 1e6)
    return {name: quantile(values, 0.5) for name, values in taken.items()}


class _Crowd:
    """One task or many, by the bare script or by the store."""

    def __init__(
        self,
        store: AsyncSessionStore,
        client: Any,  # noqa: ANN401 - redis-py leaves commands untyped
        sources: Sequence[SessionSource],
        bare: BareCommands,
    ) -> None:
        self._store, self._client, self._sources = store, client, sources
        self._bare = bare
        self._next = count()

    async def bare(self, number: int) -> object:
        """Run the script, and leave the reply as it is."""
        return await self._client.execute_command(*self._bare[number])

    async def store(self, number: int) -> object:
        """Call the store."""
        return await self._store.get_or_create_session(self._sources[number])

    async def repetition(self, calls: int) -> Repetition:
        """Return calls a second of each, and how they compare."""
        found: dict[str, float] = {}
        for name, tasks in (("alone", 1), ("crowd", CONCURRENCY)):
            part = max(calls // _PARTS, 2 * tasks)
            seconds = {"bare": 0.0, "store": 0.0}
            for _ in range(_PARTS):
                seconds["bare"] += await self._seconds(self.bare, part, tasks)
                seconds["store"] += await self._seconds(self.store, part, tasks)
            for way, taken in seconds.items():
                found[f"{name}_{way}_rate"] = part * _PARTS / taken
            found[f"{name}_factor"] = seconds["store"] / seconds["bare"]
            found[f"{name}_throughput"] = seconds["bare"] / seconds["store"]
        return {name: found[name] for name in _ASYNC}

    async def _seconds(
        self, call: Callable[[int], Awaitable[object]], calls: int, tasks: int
    ) -> float:
        left = iter(range(calls))

        async def work() -> None:
            for _ in left:
                await call(next(self._next) % len(self._sources))

        started = perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(work())
        return perf_counter() - started

    async def close(self) -> None:
        """Disconnect."""
        await self._store.close()
        await self._client.aclose()


async def _opened(server: Server, sources: Sequence[SessionSource], bare: BareCommands) -> _Crowd:
    """Return a crowd whose connections are open."""
    store = AsyncSessionStore.from_url(config=store_config(server, IDLE_POLICY))
    crowd = _Crowd(store, pooled(server.url(), CONCURRENCY), sources, bare)
    await crowd.repetition(2 * CONCURRENCY)
    return crowd


def _without_python(server: Server, bare: BareCommands, requests: int) -> Repetition:
    if program() is None:
        return {}
    script = list(bare[0])
    script[bare.place] = f"20260101_000000_{RANDOM}"
    return {
        f"c_{name}_{connections}_rate": rate(
            server, command, requests=requests, connections=connections
        )
        for connections in (1, CONCURRENCY)
        for name, command in (("ping", ["PING"]), ("bare", script))
    }


_ASYNC = (
    "alone_bare_rate",
    "alone_store_rate",
    "alone_factor",
    "crowd_bare_rate",
    "crowd_store_rate",
    "crowd_throughput",
)
_MANY = f"{CONCURRENCY} tasks"

WORKLOAD = Workload(
    "round_trip",
    "Round trips: the store beside the bare script, and beside a load without Python",
    f"{CALLS:,} calls of `get_or_create_session` on {SESSIONS:,} existing sessions, beside the same"
    " EVALSHA with the same arguments, made beforehand but for each call's own id, by redis-py"
    " (RESP2, hiredis) and nothing else: no arguments to check, no reply to decode. Loopback TCP."
    f" One connection: median of the calls, {_AT_A_TIME} in turn. asyncio: calls a second of one"
    f" task, and of {CONCURRENCY} tasks, for the bare script with a pool of as many connections, in"
    f" {_PARTS} parts by turns. Without Python: `redis-benchmark`, one thread,"
    f" {_WITHOUT_PYTHON:,} requests, the same EVALSHA on one session.",
    (
        Measure("ping_us", "PING", "µs"),
        Measure("bare_us", "bare EVALSHA", "µs"),
        Measure("store_us", "SessionStore", "µs"),
        Measure("store_factor", "store / bare", "x"),
        Measure("alone_bare_rate", "asyncio, 1 task: bare EVALSHA", "1/s"),
        Measure("alone_store_rate", "asyncio, 1 task: AsyncSessionStore", "1/s"),
        Measure("alone_factor", "time, store / bare", "x"),
        Measure("crowd_bare_rate", f"asyncio, {_MANY}: bare EVALSHA", "1/s"),
        Measure("crowd_store_rate", f"asyncio, {_MANY}: AsyncSessionStore", "1/s"),
        Measure("crowd_throughput", "throughput, store / bare", "x"),
        Measure("c_ping_1_rate", "without Python, 1 connection: PING", "1/s", optional=True),
        Measure("c_bare_1_rate", "without Python, 1 connection: EVALSHA", "1/s", optional=True),
        Measure(
            f"c_ping_{CONCURRENCY}_rate",
            f"without Python, {CONCURRENCY} connections: PING",
            "1/s",
            optional=True,
        ),
        Measure(
            f"c_bare_{CONCURRENCY}_rate",
            f"without Python, {CONCURRENCY} connections: EVALSHA",
            "1/s",
            optional=True,
        ),
    ),
    _run,
)
