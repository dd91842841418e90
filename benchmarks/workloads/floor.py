"""How far get_or_create_session is from the commands that it stands for, on the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.alternatives.bare import Command
from benchmarks.server_time import ServerTime, quantile
from benchmarks.sessions import layout, real_entries, store_all
from benchmarks.workload import IDLE_POLICY, NO_POLICY, Bench, Measure, Repetition, Workload
from redisstore import SessionEntry, SessionResetPolicy, SessionStore
from redisstore.calls import sessions
from redisstore.fields import to_ms
from redisstore.scripts import library
from tests.servers import Server

SESSIONS = 600
"""As many as the real file has."""
CALLS = 2_000
_AT_A_TIME = 50
_SCRIPT = Path(__file__).with_name("three_commands.lua").read_text("utf-8")
_COMMANDS = ("hgetall", "hset", "zadd")
Written = dict[str, str | int]


class Ways:
    """The store, the script without logic and the plain commands, on the same sessions."""

    def __init__(
        self, server: Server, store: SessionStore, entries: Sequence[SessionEntry]
    ) -> None:
        store_all(store, entries)
        self._store, self._entries = store, entries
        self._context, self._home = layout(store)
        self._scripts = library(shebang=True)
        self._client: Any = server.client(protocol=2)
        self._script = self._client.register_script(_SCRIPT)
        self._resolve(entries[0])
        self._script(*self._arguments(entries[0], {"updated_at": 1}))
        self._evalsha = ServerTime(server)
        self._commands = [ServerTime(server, command) for command in _COMMANDS]
        self._versions = count(2)
        self._written = self._fields_written(entries[0])

    def store(self, entries: Sequence[SessionEntry]) -> float:
        """Return the server time of a call of the store, in µs."""
        return self._measured(self._resolve, entries)

    def script(self, entries: Sequence[SessionEntry]) -> float:
        """Return that of the script, which writes the fields that the store writes."""
        return self._measured(lambda entry: self._run(entry, self._fields(entry)), entries)

    def short(self, entries: Sequence[SessionEntry]) -> float:
        """Return that of the script where it writes one field only."""
        return self._measured(
            lambda entry: self._run(entry, {"updated_at": to_ms(entry.updated_at)}), entries
        )

    def commands(self, entries: Sequence[SessionEntry]) -> float:
        """Return that of the three commands, sent as they are."""
        for clock in self._commands:
            clock.lap()
        for entry in entries:
            self._client.hgetall(self._home.entry(entry.session_key))
            self._client.hset(self._home.entry(entry.session_key), mapping=self._fields(entry))
            self._client.zadd(self._home.updated_at, {entry.session_key: to_ms(entry.updated_at)})
        return sum(clock.lap().microseconds for clock in self._commands) / len(entries)

    def store_together(self, entries: Sequence[SessionEntry], sha: str | None = None) -> float:
        """Return the server time of a call of the store among as many, sent in one pipeline.

        With a ``sha``, that script answers them.
        """
        calls = [self._call(entry) for entry in entries]
        return self._together(calls if sha is None else [(c[0], sha, *c[2:]) for c in calls])

    def script_together(self, entries: Sequence[SessionEntry]) -> float:
        """Return that of the script, likewise."""
        calls = [self._arguments(entry, self._fields(entry)) for entry in entries]
        return self._together(
            [("EVALSHA", self._script.sha, len(keys), *keys, *words) for keys, words in calls]
        )

    def _measured(
        self, call: Callable[[SessionEntry], object], entries: Sequence[SessionEntry]
    ) -> float:
        self._evalsha.lap()
        for entry in entries:
            call(entry)
        return self._mean(len(entries))

    def _together(self, commands: Sequence[Command]) -> float:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        self._evalsha.lap()
        pipeline.execute()
        return self._mean(len(commands))

    def _mean(self, calls: int) -> float:
        lap = self._evalsha.lap()
        if lap.calls != calls:
            raise RuntimeError(f"{calls} calls were expected: {lap}")
        return lap.microseconds / lap.calls

    def _call(self, entry: SessionEntry) -> Command:
        assert entry.origin is not None  # noqa: S101 - all entries of the file have one
        call = sessions.get_or_create(
            self._context, entry.origin, session_key=entry.session_key, force_new=False
        )
        return call.by_sha(self._scripts)

    def _resolve(self, entry: SessionEntry) -> object:
        assert entry.origin is not None  # noqa: S101 - all entries of the file have one
        return self._store.get_or_create_session(entry.origin, session_key=entry.session_key)

    def _run(self, entry: SessionEntry, fields: Written) -> object:
        return self._script(*self._arguments(entry, fields))

    def _arguments(self, entry: SessionEntry, fields: Written) -> tuple[list[str], list[str | int]]:
        keys = [self._home.entry(entry.session_key), self._home.updated_at]
        words = [word for pair in fields.items() for word in pair]
        return keys, [entry.session_key, to_ms(entry.updated_at), *words]

    def _fields(self, entry: SessionEntry) -> Written:
        """Return what get_or_create_session writes into an entry: as many fields, as long."""
        version = next(self._versions)
        known = {"updated_at": to_ms(entry.updated_at), "version": version}
        return {name: known.get(name, f"{version:0{size}x}") for name, size in self._written}

    def _fields_written(self, entry: SessionEntry) -> list[tuple[str, int]]:
        """Return the fields that a call changes, and how long each is."""
        key = self._home.entry(entry.session_key)
        before = self._client.hgetall(key)
        time.sleep(0.002)
        self._resolve(entry)
        after = self._client.hgetall(key)
        return [(name.decode(), len(it)) for name, it in after.items() if before.get(name) != it]


def _run(bench: Bench) -> Iterator[Repetition]:
    entries = [entry for entry in real_entries(bench.size(SESSIONS)) if not entry.suspended]
    rounds = max(1, bench.size(CALLS) // _AT_A_TIME)
    with ExitStack() as stack:

        def ways(policy: SessionResetPolicy) -> Ways:
            server = stack.enter_context(bench.server())
            return Ways(server, stack.enter_context(bench.store(server, policy)), entries)

        plain, idle = ways(NO_POLICY), ways(IDLE_POLICY)
        measured = {
            "store": plain.store,
            "script": plain.script,
            "short": plain.short,
            "commands": plain.commands,
            "idle": idle.store,
            "together": plain.store_together,
            "script_together": plain.script_together,
        }
        for _ in range(bench.repetitions):
            laps: dict[str, list[float]] = {name: [] for name in measured}
            for number in range(rounds):
                at = number * _AT_A_TIME
                some = [entries[n % len(entries)] for n in range(at, at + _AT_A_TIME)]
                for name, way in measured.items():
                    laps[name].append(way(some))
            used = {name: quantile(values, 0.5) for name, values in laps.items()}
            yield {
                **{f"{name}_us": value for name, value in used.items()},
                "script_factor": used["store"] / used["script"],
                "short_factor": used["store"] / used["short"],
                "commands_factor": used["script"] / used["commands"],
                "idle_factor": used["idle"] / used["store"],
                "together_factor": used["together"] / used["script_together"],
            }


WORKLOAD = Workload(
    "floor",
    "get_or_create_session beside the three commands that it stands for",
    f"Server time by `INFO commandstats`, on the {SESSIONS} sessions of a real gateway's file;"
    f" {CALLS:,} calls each, {_AT_A_TIME} in turn; the median of the means of {_AT_A_TIME}. The"
    " script without logic does HGETALL, HSET of the fields that the store changes too, and ZADD,"
    " and looks at nothing; likewise where its HSET is of one field. The plain commands are the"
    " same three, sent one by one. Policy none: one index to keep. In a pipeline the server does"
    " not rest between two calls, as when it is busy.",
    (
        Measure("store_us", "server time of get_or_create_session", "µs"),
        Measure("script_us", "script of the three commands", "µs"),
        Measure("script_factor", "get_or_create_session / script", "x"),
        Measure("short_us", "script of the three, writing one field", "µs"),
        Measure("short_factor", "get_or_create_session / that", "x"),
        Measure("commands_us", "the three commands themselves", "µs"),
        Measure("commands_factor", "script / commands", "x"),
        Measure("idle_us", "get_or_create_session, policy idle: one more index", "µs"),
        Measure("idle_factor", "policy idle / none", "x"),
        Measure("together_us", f"get_or_create_session, {_AT_A_TIME} in one pipeline", "µs"),
        Measure("script_together_us", "script of the three commands, likewise", "µs"),
        Measure("together_factor", "get_or_create_session / script, both in pipelines", "x"),
    ),
    _run,
)
