"""How fast sessions are taken in, beside writing them without any care."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

from benchmarks.server_time import ServerTime
from benchmarks.sessions import check, layout, real_entries, store_all
from benchmarks.workload import NO_POLICY, Bench, Measure, Repetition, Workload
from redisstore import SessionEntry
from redisstore.fields import encode_entry, to_ms
from redisstore.keys import Partition
from tests.servers import Server

SESSIONS = 10_000
_ROWS_A_ROUND = 200
_ROWS_A_CALL = 25
Row = tuple[SessionEntry, dict[str, str]]


def _run(bench: Bench) -> Iterator[Repetition]:
    entries = real_entries(bench.size(SESSIONS))
    rows = [(entry, {**encode_entry(entry), "version": "1"}) for entry in entries]
    with bench.server() as server:
        for _ in range(bench.repetitions):
            server.client().flushall()
            with bench.store(server, NO_POLICY) as store:
                store_all(store, entries[:1])
                store.delete_session(entries[0].session_key)
                clock, started = ServerTime(server), perf_counter()
                store_all(store, entries)
                store_rate = len(entries) / (perf_counter() - started)
                lap = clock.lap()
                check(store)
                _, home = layout(store)
            server.client().flushall()
            bare_rate = _bare_rate(server, home, rows)
            yield {
                "store_rate": store_rate,
                "bare_rate": bare_rate,
                "bare_factor": bare_rate / store_rate,
                "call_ms": lap.microseconds / lap.calls / 1000,
                "server_us": lap.microseconds / len(entries),
            }


def _bare_rate(server: Server, home: Partition, rows: Sequence[Row]) -> float:
    client: Any = server.client(protocol=2)
    client.ping()
    started = perf_counter()
    for first in range(0, len(rows), _ROWS_A_ROUND):
        pipeline = client.pipeline(transaction=False)
        for entry, fields in rows[first : first + _ROWS_A_ROUND]:
            key = entry.session_key
            pipeline.hset(home.entry(key), mapping=fields)
            pipeline.zadd(home.updated_at, {key: to_ms(entry.updated_at)})
        pipeline.execute()
    return len(rows) / (perf_counter() - started)


WORKLOAD = Workload(
    "importing",
    "Import",
    f"{SESSIONS:,} sessions (as in the memory table) through `import_sessions` into an empty"
    f" store: checked, encoded, {_ROWS_A_ROUND} a round trip in calls of {_ROWS_A_CALL},"
    " compared with what is stored, written with their indexes in one step. Beside it the same"
    " fields, encoded beforehand, as one HSET and one ZADD a session, pipelined for"
    f" {_ROWS_A_ROUND} sessions at a time. Server time is EVALSHA's mean by `INFO commandstats`.",
    (
        Measure("store_rate", "sessions a second", "1/s"),
        Measure("bare_rate", "sessions a second, bare pipeline", "1/s"),
        Measure("bare_factor", "bare / store", "x"),
        Measure("call_ms", f"server time of a call of {_ROWS_A_CALL}", "ms"),
        Measure("server_us", "server time of a session", "µs"),
    ),
    _run,
)
