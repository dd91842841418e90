"""What one node, three and thirty would carry, worked out from what the same run measured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from benchmarks.server_memory import used_memory
from benchmarks.server_time import ServerTime
from benchmarks.sessions import chat_id, check, fill, now, source
from benchmarks.workload import IDLE_POLICY, Bench, Measure, Repetition, Workload, store_config
from benchmarks.workloads.spread import cpu_us, fullest_share
from redisstore import AsyncSessionStore, SessionSource, SessionStore
from tests.servers import Server, wait_until

SESSIONS = 20_000
CALLS = 2_000
TASKS = 64
LOAD = 0.6
"""Share of a core that is planned with; beyond it, waiting times grow."""
MEMORY_GIB = 8
_STEM = "n"
_GIB = 2**30
_NODES = ((1, 1), (3, 64), (30, 64), (30, 256))
"""So many masters, and partitions."""


@dataclass(frozen=True, slots=True)
class _Spent:
    """What one call, or turn, took of the server: in its scripts, and in all, in microseconds."""

    script: float
    cpu: float


class _Meter:
    """Reads what a server has spent on so many calls."""

    def __init__(self, server: Server, calls: int) -> None:
        self._server = server
        self._calls = calls
        self._clock = ServerTime(server)

    def measure(self, work: Callable[[], object]) -> _Spent:
        self._clock.lap()
        before = cpu_us(self._server)
        work()
        cpu = cpu_us(self._server) - before
        return _Spent(self._clock.lap().microseconds / self._calls, cpu / self._calls)


def _run(bench: Bench) -> Iterator[Repetition]:
    sessions, calls = bench.size(SESSIONS), bench.size(CALLS)
    sources = [source(chat_id(_STEM, number % sessions)) for number in range(calls)]
    with ExitStack() as stack:
        plain = stack.enter_context(bench.server())
        kept = stack.enter_context(_replicated(bench))
        meters, stores, bytes_each = {}, {}, 0.0
        for server in (plain, kept):
            empty = used_memory(server)
            store = stack.enter_context(bench.store(server, IDLE_POLICY))
            fill(server, store, _STEM, sessions, updated_at=now() - timedelta(hours=1))
            check(store)
            bytes_each = bytes_each or (used_memory(server) - empty) / sessions
            _resolve_all(store, sources[:1])
            _turn_all(store, sources[:1], "first")
            stores[server], meters[server] = store, _Meter(server, calls)
        ping = plain.client()
        for repetition in range(bench.repetitions):
            pinged = meters[plain].measure(lambda: [ping.ping() for _ in sources])
            spent = {}
            for name, server in (("plain", plain), ("kept", kept)):
                store, meter = stores[server], meters[server]
                message = f"{name}.{repetition}"
                resolve = meter.measure(partial(_resolve_all, store, sources))
                turn = meter.measure(partial(_turn_all, store, sources, message))
                spent[name] = resolve, turn
            (resolve, turn), (kept_resolve, kept_turn) = spent["plain"], spent["kept"]
            crowd = meters[plain].measure(lambda: asyncio.run(_crowd(plain, sources)))
            found = _found(pinged, resolve, turn, kept_resolve, kept_turn, crowd)
            yield found | _carried(kept_turn.cpu, bytes_each)


@contextmanager
def _replicated(bench: Bench) -> Iterator[Server]:
    """Start a server with what one keeps data by: an append-only file, and a replica."""
    with (
        Server(bench.backend, appendonly=True, appendfsync="everysec") as master,
        Server(bench.backend) as replica,
    ):
        replica.ask("REPLICAOF", *master.address)
        wait_until(
            lambda: replica.info("replication")["master_link_status"] == "up",
            timeout=30,
            message="the replica",
        )
        yield master


def _resolve_all(store: SessionStore, sources: Sequence[SessionSource]) -> None:
    for each in sources:
        store.get_or_create_session(each)


def _turn_all(store: SessionStore, sources: Sequence[SessionSource], message: str) -> None:
    for number, each in enumerate(sources):
        with store.turn(each, f"{message}.{number}") as turn:
            turn.end(last_prompt_tokens=1200, input_tokens=1200, output_tokens=345)


async def _crowd(server: Server, sources: Sequence[SessionSource]) -> None:
    async with AsyncSessionStore.from_url(config=store_config(server, IDLE_POLICY)) as store:
        left = iter(sources)

        async def work() -> None:
            for each in left:
                await store.get_or_create_session(each)

        async with asyncio.TaskGroup() as group:
            for _ in range(TASKS):
                group.create_task(work())


def _found(
    ping: _Spent,
    resolve: _Spent,
    turn: _Spent,
    kept_resolve: _Spent,
    kept_turn: _Spent,
    crowd: _Spent,
) -> dict[str, float]:
    return {
        "ping_cpu_us": ping.cpu,
        "resolve_script_us": resolve.script,
        "resolve_cpu_us": resolve.cpu,
        "crowd_cpu_us": crowd.cpu,
        "kept_resolve_cpu_us": kept_resolve.cpu,
        "turn_script_us": turn.script,
        "turn_cpu_us": turn.cpu,
        "kept_turn_cpu_us": kept_turn.cpu,
        "beside_script": 100 * (1 - turn.script / kept_turn.cpu),
    }


def _carried(turn_cpu_us: float, bytes_each: float) -> dict[str, float]:
    """Work out what so many nodes carry: the fullest is the first at its limit."""
    turns = LOAD * 1e6 / turn_cpu_us
    sessions = MEMORY_GIB * _GIB / bytes_each
    found = {"session_bytes": bytes_each}
    for nodes, partitions in _NODES:
        times = 1 / fullest_share(partitions, nodes)
        found[f"turns_{nodes}_{partitions}"] = turns * times
        found[f"sessions_{nodes}_{partitions}"] = sessions * times
    return found


def _measures() -> Iterator[Measure]:
    yield from (
        Measure("ping_cpu_us", "PING: processor time", "µs"),
        Measure("resolve_script_us", "get_or_create_session: script", "µs"),
        Measure("resolve_cpu_us", "get_or_create_session: processor time", "µs"),
        Measure("kept_resolve_cpu_us", "get_or_create_session: with file and replica", "µs"),
        Measure("crowd_cpu_us", f"get_or_create_session: {TASKS} at a time", "µs"),
        Measure("turn_script_us", "a turn: scripts", "µs"),
        Measure("turn_cpu_us", "a turn: processor time", "µs"),
        Measure("kept_turn_cpu_us", "a turn: with file and replica (T)", "µs"),
        Measure("beside_script", "of T, what is not the scripts", "%"),
        Measure("session_bytes", "memory of a session (M)", "B"),
    )
    for nodes, partitions in _NODES:
        name = "1 node" if nodes == 1 else f"{nodes} nodes, {partitions} partitions"
        times = f"{1 / fullest_share(partitions, nodes):.1f}"
        yield Measure(
            f"turns_{nodes}_{partitions}", f"{name}: turns ({times} x {LOAD:g} s / T)", "1/s"
        )
        yield Measure(
            f"sessions_{nodes}_{partitions}",
            f"{name}: sessions ({times} x {MEMORY_GIB} GiB / M)",
            "sessions",
        )


WORKLOAD = Workload(
    "capacity",
    "What one node, three and thirty would carry",
    f"{CALLS:,} calls of `get_or_create_session`, and as many whole turns (begin and end, with a"
    f" message id and three counters), one after the other on {SESSIONS:,} sessions, on a server"
    " that keeps nothing, and on one with an append-only file (synced each second) and a replica,"
    " on this machine. Scripts: EVALSHA's time by `INFO commandstats`. Processor time: user and"
    " system time of the server's main thread, by `INFO cpu`, which has the network, parsing, file"
    " and replica in it; so it is what the rest is worked out from. A server carries out commands"
    f" in one thread: at {LOAD:.0%} of a core, it carries {LOAD:g} s / T turns a second, T being"
    f" the processor time of a turn. Sessions are what {MEMORY_GIB} GiB hold, M being the memory of"
    " one that has had no turn (`used_memory` less the clients' buffers); twice that should be"
    " there, for what is written while a snapshot is made. Several nodes carry the reciprocal of"
    " the fullest one's share of the partitions times as much: 22 of 64 on three, 3 of 64 on"
    " thirty; more partitions are more even there. Counted is the work of messages alone, with"
    " equal popularity. It is arithmetic: no thirty nodes were run.",
    tuple(_measures()),
    _run,
)
