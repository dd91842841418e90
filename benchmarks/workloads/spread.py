"""How evenly the masters of a Cluster are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.server_memory import used_memory
from benchmarks.server_time import ServerTime
from benchmarks.sessions import real_entries
from benchmarks.workload import IDLE_POLICY, Bench, Measure, Repetition, Workload, store_config
from redisstore import (
    SessionEntry,
    SessionId,
    SessionKey,
    SessionSource,
    SessionStore,
)
from redisstore.keys import SLOTS, KeySpace
from tests.servers import Cluster, Server

SESSIONS = 20_000
_MASTERS = 3
NOBODY = SessionSource(platform="telegram", chat_id="0")
Readings = Mapping[str, Sequence[float]]
"""What each master had, by measure."""


def fullest_share(partitions: int, masters: int) -> float:
    """Return which share of the partitions the fullest of so many masters with equal slots has."""
    homes = KeySpace("redisstore", partitions).partitions
    counts = [0] * masters
    for home in homes:
        counts[home.slot * masters // SLOTS] += 1
    return max(counts) / partitions


def _run(bench: Bench) -> Iterator[Repetition]:
    entries = real_entries(bench.size(SESSIONS))
    with Cluster(bench.backend, lazyfree_lazy_user_del=False) as cluster:
        for repetition in range(bench.repetitions):
            found = _used(cluster, [_renamed(entry, repetition) for entry in entries])
            uneven = {f"{name}_uneven": _uneven(each) for name, each in found.items()}
            yield {
                "partitions_uneven": 100 * (_MASTERS * fullest_share(64, _MASTERS) - 1),
                **uneven,
                "sessions_most": max(found["sessions"]),
                "sessions_least": min(found["sessions"]),
            }


def _renamed(entry: SessionEntry, repetition: int) -> SessionEntry:
    """Return the same for another person; who shares a session id still does."""
    mark = f"-{repetition}"
    return entry.model_copy(
        update={
            "session_key": SessionKey(entry.session_key + mark),
            "session_id": SessionId(entry.session_id + mark),
        }
    )


def _used(cluster: Cluster, entries: Sequence[SessionEntry]) -> Readings:
    """Store all sessions, and send each a message; return what that came to on each master."""
    config = store_config(cluster.masters[0], IDLE_POLICY).model_copy(
        update={"url": cluster.url(), "partitions": None}
    )
    with SessionStore.from_url(config=config) as store:
        for entry, verdict in store.import_sessions(entries):
            if verdict != "created":
                raise RuntimeError(f"{entry.session_key} was not stored: {verdict}")
        context = store.layout()
        if context is None or context.space.partition_count != 64:
            raise RuntimeError(f"64 partitions are the default on Cluster, not {context}")
        sessions = [0.0] * len(cluster.masters)
        for home, some in context.space.by_partition(entries, lambda e: e.session_key).items():
            sessions[home.slot * _MASTERS // SLOTS] += len(some)
        full = _of_each(cluster, used_memory)
        keys = _of_each(cluster, lambda master: float(master.ask("DBSIZE")))
        clocks = [ServerTime(master) for master in cluster.masters]
        cpu = _of_each(cluster, cpu_us)
        _send_messages(store, entries)
    cpu = _differences(cpu, _of_each(cluster, cpu_us))
    time = [float(clock.lap().microseconds) for clock in clocks]
    for master in cluster.masters:
        master.ask("FLUSHALL", "SYNC")
    return {
        "sessions": sessions,
        "keys": keys,
        "memory": _differences(_of_each(cluster, used_memory), full),
        "time": time,
        "cpu": cpu,
    }


def _send_messages(store: SessionStore, entries: Sequence[SessionEntry]) -> None:
    for entry in entries:
        store.get_or_create_session(entry.origin or NOBODY, session_key=entry.session_key)


def cpu_us(server: Server) -> float:
    """Return the microseconds of processor time that the server's own thread has used."""
    used = server.info("cpu")
    return 1e6 * float(used["used_cpu_user_main_thread"] + used["used_cpu_sys_main_thread"])


def _of_each(cluster: Cluster, read: Callable[[Server], float]) -> list[float]:
    return [read(master) for master in cluster.masters]


def _differences(before: Sequence[float], after: Sequence[float]) -> list[float]:
    return [now - then for then, now in zip(before, after, strict=True)]


def _uneven(values: Sequence[float]) -> float:
    """Return by how much, in %, the one that is furthest from the mean differs from it."""
    mean = sum(values) / len(values)
    return 100 * max(abs(value / mean - 1) for value in values)


WORKLOAD = Workload(
    "spread",
    "Cluster: how evenly three masters are used",
    f"The sessions of a real gateway's file, multiplied to {SESSIONS:,}, imported into a Cluster of"
    " three masters with equal slots and the default of 64 partitions, then a message"
    f" (`get_or_create_session`) for each. What is given is by how much the"
    " master that is furthest from the mean of the three differs from it. 64 partitions are 22, 21"
    " and 21: that is the first line, and no number of sessions makes it less. Each repetition has"
    " other session keys. Server time is EVALSHA's by `INFO commandstats`, processor time that of"
    " the server's main thread by `INFO cpu`; memory is what FLUSHALL gives back of"
    " `used_memory`, without the answers that are kept for a repetition.",
    (
        Measure("partitions_uneven", "partitions", "%"),
        Measure("sessions_uneven", "sessions", "%"),
        Measure("keys_uneven", "keys", "%"),
        Measure("memory_uneven", "memory", "%"),
        Measure("time_uneven", "server time of the messages", "%"),
        Measure("cpu_uneven", "processor time of the messages", "%"),
        Measure("sessions_most", "sessions of the fullest master", "sessions"),
        Measure("sessions_least", "sessions of the emptiest master", "sessions"),
    ),
    _run,
)
