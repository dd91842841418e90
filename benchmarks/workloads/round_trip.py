"""What the store adds to the round trip that the script itself takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from itertools import cycle, islice
from time import perf_counter
from typing import Any, TypeVar

import redis.asyncio

from benchmarks.server_time import quantile
from benchmarks.sessions import chat_id, fill, layout, now, source
from benchmarks.workload import IDLE_POLICY, Bench, Measure, Repetition, Workload, store_config
from redisstore import AsyncSessionStore, SessionSource
from redisstore.calls import sessions
from redisstore.scripts import library
from tests.servers import Server

SESSIONS = 1_000
CALLS = 2_000
CONCURRENCY = 64
_STEM = "r"

T = TypeVar("T")
Command = tuple[str | bytes | int, ...]


def _run(bench: Bench) -> Iterator[Repetition]:
    many, calls = bench.size(SESSIONS), bench.size(CALLS)
    with bench.server() as server, bench.store(server, IDLE_POLICY) as store:
        fill(server, store, _STEM, many, updated_at=now() - timedelta(hours=1))
        sources = [source(chat_id(_STEM, number)) for number in range(many)]
        store.get_or_create_session(sources[0])  # the server has the script from here on
        context, _ = layout(store)
        scripts = library(shebang=True)
        commands: list[Command] = [
            sessions.get_or_create(context, each, force_new=False).by_sha(scripts)
            for each in sources
        ]
        client: Any = server.client(protocol=2)
        for _ in range(bench.repetitions):
            ping = _median_us(lambda _: client.ping(), sources, calls)
            bare = _median_us(lambda command: client.execute_command(*command), commands, calls)
            full = _median_us(store.get_or_create_session, sources, calls)
            yield {
                "ping_us": ping,
                "bare_us": bare,
                "store_us": full,
                "store_factor": full / bare,
                **asyncio.run(_async_repetition(server, sources, commands, calls)),
            }


def _median_us(call: Callable[[T], object], items: Sequence[T], calls: int) -> float:
    taken: list[float] = []
    for item in islice(cycle(items), calls):
        started = perf_counter()
        call(item)
        taken.append(perf_counter() - started)
    return quantile(taken, 0.5) * 1e6


async def _async_repetition(
    server: Server, sources: Sequence[SessionSource], commands: Sequence[Command], calls: int
) -> Repetition:
    async with (
        AsyncSessionStore.from_url(config=store_config(server, IDLE_POLICY)) as store,
        _async_client(server) as client,
    ):
        found: dict[str, float] = {}
        for name, concurrency in (("alone", 1), ("crowd", CONCURRENCY)):

            async def bare(command: Command) -> object:
                return await client.execute_command(*command)

            found[f"{name}_bare_rate"] = await _rate(bare, commands, calls, concurrency)
            found[f"{name}_store_rate"] = await _rate(
                store.get_or_create_session, sources, calls, concurrency
            )
            found[f"{name}_factor"] = found[f"{name}_bare_rate"] / found[f"{name}_store_rate"]
    return found


def _async_client(server: Server) -> Any:  # noqa: ANN401 - redis-py leaves commands untyped
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        server.url(), max_connections=CONCURRENCY, protocol=2
    )
    return redis.asyncio.Redis.from_pool(pool)


async def _rate(
    call: Callable[[T], Awaitable[object]], items: Sequence[T], calls: int, concurrency: int
) -> float:
    """Return calls a second of so many tasks; connections are open before the clock runs."""

    async def work(some: Iterator[T]) -> None:
        for item in some:
            await call(item)

    async def workers(count: int) -> None:
        shared = islice(cycle(items), count)
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work(shared))

    await workers(2 * concurrency)
    started = perf_counter()
    await workers(calls)
    return calls / (perf_counter() - started)


WORKLOAD = Workload(
    "round_trip",
    "Round trips: the store beside the bare script",
    f"{CALLS:,} calls of `get_or_create_session` on {SESSIONS:,} existing sessions, beside the same"
    " EVALSHA with the same arguments, made beforehand, by redis-py (RESP2, hiredis) and nothing"
    " else: no arguments to check and no reply to decode. Loopback TCP. One connection: median of"
    " the calls. asyncio: calls a second of one task, and of"
    f" {CONCURRENCY} tasks with a connection each.",
    (
        Measure("ping_us", "PING", "µs"),
        Measure("bare_us", "bare EVALSHA", "µs"),
        Measure("store_us", "SessionStore", "µs"),
        Measure("store_factor", "store / bare", "x"),
        Measure("alone_bare_rate", "asyncio, 1 task: bare EVALSHA", "1/s"),
        Measure("alone_store_rate", "asyncio, 1 task: AsyncSessionStore", "1/s"),
        Measure("alone_factor", "bare / store", "x"),
        Measure("crowd_bare_rate", f"asyncio, {CONCURRENCY} tasks: bare EVALSHA", "1/s"),
        Measure("crowd_store_rate", f"asyncio, {CONCURRENCY} tasks: AsyncSessionStore", "1/s"),
        Measure("crowd_factor", "bare / store", "x"),
    ),
    _run,
)
