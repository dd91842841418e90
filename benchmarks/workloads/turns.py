"""What a turn costs beside a single call, and how a crowd of turns is served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.server_time import ServerTime, quantile
from benchmarks.sessions import chat_id, fill, layout, now, source
from benchmarks.workload import IDLE_MINUTES, IDLE_POLICY, Bench, Measure, Repetition, Workload
from redisstore import SessionSource, SessionStore
from redisstore.calls.sessions import session_key_of
from redisstore.fields import to_ms
from tests.processes import Crew
from tests.processes.crowd import Crowd, Served, by_lane
from tests.processes.lanes import source_of
from tests.servers import Server

SESSIONS = 1_000
TURNS = 2_000
_TURNS_AT_A_TIME = 50
"""So many run at once, each on a session of its own; all end before one has to be renewed."""
_STEM = "t"
_COMMANDS_OF_A_TURN = [
    Path(__file__).with_name(f"{script}_commands.lua").read_text("utf-8")
    for script in ("begin", "end")
]

LANES = 50
PROCESSES = 10
WORK_MS = 100


@dataclass(slots=True)
class _Spent:
    """What calls have cost: each one's client time, and the server's time and calls in all."""

    client_us: list[float] = field(default_factory=list)
    calls: int = 0
    microseconds: int = 0

    def add(self, started: float) -> None:
        self.client_us.append((perf_counter() - started) * 1e6)

    def lap(self, clock: ServerTime) -> None:
        lap = clock.lap()
        self.calls += lap.calls
        self.microseconds += lap.microseconds

    @property
    def server_us(self) -> float:
        """Mean server time of a call that the client made."""
        return self.microseconds / len(self.client_us)


class _Costs:
    """Single calls and turns on the same existing sessions, by turns, and what each has cost."""

    def __init__(self, store: SessionStore, server: Server, clock: ServerTime) -> None:
        self._store = store
        self._clock = clock
        client: Any = server.client()
        self._bare = [client.register_script(text) for text in _COMMANDS_OF_A_TURN]
        self._context, self._home = layout(store)
        self.resolve, self.begin, self.end, self.bare = _Spent(), _Spent(), _Spent(), _Spent()

    def resolve_all(self, sources: Sequence[SessionSource]) -> None:
        self._clock.lap()
        for each in sources:
            started = perf_counter()
            self._store.get_or_create_session(each)
            self.resolve.add(started)
        self.resolve.lap(self._clock)

    def turn_all(self, sources: Sequence[SessionSource], message: str) -> None:
        self._clock.lap()
        with ExitStack() as stack:
            turns = []
            for number, each in enumerate(sources):
                turn = self._store.turn(each, f"{message}.{number}", wait=0)
                started = perf_counter()
                stack.enter_context(turn)
                self.begin.add(started)
                turns.append(turn)
            self.begin.lap(self._clock)
            for turn in turns:
                started = perf_counter()
                turn.end(last_prompt_tokens=1200, input_tokens=1200, output_tokens=345)
                self.end.add(started)
            self.end.lap(self._clock)

    def bare_all(self, sources: Sequence[SessionSource], message: str) -> None:
        """Let the commands of a begin and an end run, by scripts without any logic."""
        due = to_ms(now() + timedelta(minutes=IDLE_MINUTES))
        self._clock.lap()
        for script in self._bare:
            for number, each in enumerate(sources):
                key = session_key_of(self._context, each, None)
                named = (f"bare/{message}/{number}", f"{message}.{number}")
                started = perf_counter()
                script([self._home.prefix, self._home.entry(key)], [key, *named, due])
                self.bare.add(started)
        self.bare.lap(self._clock)

    def repetition(self) -> Repetition:
        turn_server = self.begin.server_us + self.end.server_us
        turn_client = quantile(
            [sum(both) for both in zip(self.begin.client_us, self.end.client_us, strict=True)], 0.5
        )
        resolve_client = quantile(self.resolve.client_us, 0.5)
        calls = self.begin.calls + self.end.calls
        return {
            "resolve_server_us": self.resolve.server_us,
            "begin_server_us": self.begin.server_us,
            "end_server_us": self.end.server_us,
            "server_factor": turn_server / self.resolve.server_us,
            "bare_server_us": 2 * self.bare.server_us,
            "bare_factor": 2 * self.bare.server_us / self.resolve.server_us,
            "resolve_client_us": resolve_client,
            "turn_client_us": turn_client,
            "client_factor": turn_client / resolve_client,
            "calls": calls / len(self.end.client_us),
        }


def _cost(bench: Bench) -> Iterator[Repetition]:
    sessions, turns = bench.size(SESSIONS), bench.size(TURNS)
    sources = [source(chat_id(_STEM, number)) for number in range(sessions)]
    at_a_time = min(_TURNS_AT_A_TIME, sessions)
    with bench.server() as server, bench.store(server, IDLE_POLICY) as store:
        fill(server, store, _STEM, sessions, updated_at=now() - timedelta(hours=1))
        clock = ServerTime(server)
        first = _Costs(store, server, clock)  # the server has the scripts from here on
        first.resolve_all(sources[:1])
        first.turn_all(sources[:1], "first")
        first.bare_all(sources[:1], "first")
        for repetition in range(bench.repetitions):
            costs = _Costs(store, server, clock)
            for start in range(0, turns, at_a_time):
                some = [sources[n % sessions] for n in range(start, start + at_a_time)]
                costs.resolve_all(some)
                costs.turn_all(some, f"{repetition}.{start}")
                costs.bare_all(some, f"b{repetition}.{start}")
            yield costs.repetition()


@dataclass(frozen=True, slots=True)
class _Crowd:
    """How a crowd was served."""

    seconds: float
    commands: dict[str, float]
    """From clients, by kind, for each turn that waited."""
    waited_ms: list[float]
    late_ms: list[float]
    """How much longer each waited than the turns ahead of it worked."""


def _crowd(bench: Bench) -> Iterator[Repetition]:
    names = [f"lane {number}" for number in range(bench.size(LANES))]
    with bench.server() as server, Crew(max(2, round(PROCESSES * bench.scale))) as crew:
        for _ in range(bench.repetitions):
            idle = _serve(bench, server, crew, names, work_ms=0)
            busy = _serve(bench, server, crew, names, work_ms=WORK_MS)
            turns = len(names) * crew.size
            ideal_ms = (crew.size - 1) * WORK_MS
            yield {
                "rate": turns / idle.seconds,
                "scripts": idle.commands["evalsha"],
                "blocks": idle.commands["blpop"],
                "idle_wait_max_ms": max(idle.waited_ms),
                "busy_rate": turns / busy.seconds,
                "wait_median_ms": quantile(busy.waited_ms, 0.5),
                "wait_p99_ms": quantile(busy.waited_ms, 0.99),
                "wait_max_ms": max(busy.waited_ms),
                "ideal_ms": ideal_ms,
                "wait_factor": max(busy.waited_ms) / ideal_ms,
                "late_max_ms": max(busy.late_ms),
            }


def _serve(
    bench: Bench, server: Server, crew: Crew, names: Sequence[str], *, work_ms: int
) -> _Crowd:
    server.client().flushall()
    with bench.store(server, IDLE_POLICY) as store:
        for name in names:
            store.get_or_create_session(source_of(name))
        with store.turn(source_of(names[0])):
            pass  # the server has the scripts from here on
        before = server.commandstats()
        let_go, served = Crowd(crew, store, names, work_ms / 1000).serve(
            lambda: server.info("clients")["blocked_clients"]
        )
        after = server.commandstats()
    _check_order(served, names, crew.size)
    # The turns that held the lanes took a call to begin and one to end.
    calls = {"evalsha": after["evalsha"] - before["evalsha"] - 2 * len(names)}
    calls["blpop"] = after["blpop"] - before.get("blpop", 0)
    waited_ms = [(turn.began - let_go[turn.name]) * 1000 for turn in served]
    return _Crowd(
        seconds=max(turn.left for turn in served) - min(let_go.values()),
        commands={kind: count / len(served) for kind, count in calls.items()},
        waited_ms=waited_ms,
        late_ms=[
            waited - turn.place * work_ms for turn, waited in zip(served, waited_ms, strict=True)
        ],
    )


def _check_order(served: Sequence[Served], names: Sequence[str], in_line: int) -> None:
    lanes = by_lane(served)
    for name in names:
        places = [turn.place for turn in lanes.get(name, [])]
        if places != list(range(in_line)):
            raise RuntimeError(f"{name} was not served in order of arrival: {places}")
        if any(one.left > other.began for one, other in pairwise(lanes[name])):
            raise RuntimeError(f"{name} had two turns at the same time")


COST = Workload(
    "turn_cost",
    "A whole turn beside get_or_create_session",
    f"{TURNS:,} turns on {SESSIONS:,} existing sessions, each with a message id, three counters at"
    " the end and nobody waiting; as many calls of `get_or_create_session` on the same sessions,"
    f" {_TURNS_AT_A_TIME} of these, then {_TURNS_AT_A_TIME} of those, then so many by two scripts"
    " that do the commands of a begin and of an end and look at nothing. One connection over"
    " loopback TCP. Server time is EVALSHA's mean by `INFO commandstats`, client time the median,"
    " of a turn the sum of begin and end.",
    (
        Measure("resolve_server_us", "server time of get_or_create_session", "µs"),
        Measure("begin_server_us", "server time of a turn's begin", "µs"),
        Measure("end_server_us", "server time of a turn's end", "µs"),
        Measure("server_factor", "turn / get_or_create_session", "x"),
        Measure("bare_server_us", "scripts of a turn's commands without logic", "µs"),
        Measure("bare_factor", "these / get_or_create_session", "x"),
        Measure("resolve_client_us", "client time of get_or_create_session", "µs"),
        Measure("turn_client_us", "client time of a turn", "µs"),
        Measure("client_factor", "the same ratio of client times", "x"),
        Measure("calls", "script calls of a turn", "calls"),
    ),
    _cost,
)

CROWD = Workload(
    "turn_crowd",
    "A crowd: turns of many processes waiting for the same sessions",
    f"{PROCESSES} processes on this machine, each with {LANES} threads that wait for a turn on each"
    f" of {LANES} sessions: {PROCESSES * LANES:,} turns, {PROCESSES} in line for each session in a"
    " known order. All lanes are let go one right after the other. A turn begins and ends with a"
    f" counter, first with no work in between, then with {WORK_MS} ms of sleep. Every turn has to"
    " be served, once, in order of arrival, alone in its lane, or the run fails. Commands are"
    " counted by `INFO commandstats` from before the first stands in line until the last has left,"
    " with what opening a store takes, which is 2 calls a process. A wait counts from when the lane"
    " was let go until its turn began; ideal is the work of those ahead of the last in line.",
    (
        Measure("rate", "no work: turns a second", "1/s"),
        Measure("scripts", "no work: script calls of a turn", "calls"),
        Measure("blocks", "no work: BLPOPs of a turn", "calls"),
        Measure("idle_wait_max_ms", "no work: longest wait", "ms"),
        Measure("busy_rate", f"{WORK_MS} ms of work: turns a second", "1/s"),
        Measure("wait_median_ms", f"{WORK_MS} ms of work: wait, median", "ms"),
        Measure("wait_p99_ms", f"{WORK_MS} ms of work: wait, p99", "ms"),
        Measure("wait_max_ms", f"{WORK_MS} ms of work: wait, longest", "ms"),
        Measure("ideal_ms", f"{WORK_MS} ms of work: longest wait, ideal", "ms"),
        Measure("wait_factor", "ratio of the two", "x"),
        Measure("late_max_ms", f"{WORK_MS} ms of work: longest wait beyond the work ahead", "ms"),
    ),
    _crowd,
)
