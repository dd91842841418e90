"""What operations that span partitions cost, as partitions become more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import Any

from benchmarks.server_time import ServerTime, quantile
from benchmarks.sessions import now, real_entries
from benchmarks.workload import IDLE_POLICY, Bench, Measure, Repetition, Workload, store_config
from benchmarks.workloads.spread import NOBODY
from redisstore import SessionEntry, SessionStore
from redisstore.calls import expiry, replicas
from tests.costs.sockets import Wire
from tests.servers import Server

SESSIONS = 10_000
LATEST = 1_000
PARTITIONS = (1, 4, 16, 64, 256)
_CALLS = 20
_PAGES = 3
"""Of the longest operation there are so many calls only."""


@dataclass(frozen=True, slots=True)
class _Operation:
    """Something that all partitions are asked for, or (for comparison) one."""

    name: str
    label: str
    call: Callable[[SessionStore, SessionEntry], object]
    calls: int = _CALLS
    several_trips: bool = False
    """Whether its round trips become more; else it takes one, or the run fails."""


def _beat(store: Any, _: SessionEntry) -> None:  # noqa: ANN401 - its steps are run by no public name
    presence = replicas.Presence()
    store._complete(lambda c: presence.beat(c, (0, 0), "up"))  # noqa: SLF001


def _look_for_expired(store: Any, _: SessionEntry) -> None:  # noqa: ANN401 - likewise
    store._complete(expiry.claim)  # noqa: SLF001


_OPERATIONS = (
    _Operation(
        "list",
        f"list_sessions, the latest {LATEST:,}",
        lambda store, _: deque(store.list_sessions(limit=LATEST), maxlen=0),
        _PAGES,
        several_trips=True,
    ),
    _Operation("count", "count", lambda store, _: store.count()),
    _Operation(
        "lookup",
        "lookup_by_session_id",
        lambda store, entry: store.lookup_by_session_id(entry.session_id),
    ),
    _Operation(
        "prune",
        "prune_old_entries, nothing to remove",
        lambda store, _: store.prune_old_entries(before=now() - timedelta(days=4000)),
        several_trips=True,
    ),
    _Operation("recover", "recover_turns, none lapsed", lambda store, _: store.recover_turns()),
    _Operation("expired", "look for expired sessions, none", _look_for_expired, several_trips=True),
    _Operation("beat", "heartbeat", _beat),
    _Operation(
        "resolve",
        "get_or_create_session",
        lambda store, entry: store.get_or_create_session(
            entry.origin or NOBODY, session_key=entry.session_key
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class _Spent:
    """What one call came to."""

    server_us: float
    client_ms: float
    trips: int


class _Site:
    """A store with so many partitions, beside others on one server."""

    def __init__(
        self, server: Server, store: SessionStore, entries: Sequence[SessionEntry]
    ) -> None:
        self._server = server
        self._store = store
        self._entries = entries
        for entry, verdict in store.import_sessions(entries):
            if verdict != "created":
                raise RuntimeError(f"{entry.session_key} was not stored: {verdict}")
        for operation in _OPERATIONS:
            operation.call(store, entries[0])  # the server has the scripts from here on
        self._clock = ServerTime(server)

    def measure(self, operation: _Operation) -> _Spent:
        chosen = [self._entries[-1 - number] for number in range(operation.calls)]
        taken: list[float] = []
        self._clock.lap()
        for entry in chosen:
            started = perf_counter()
            operation.call(self._store, entry)
            taken.append(perf_counter() - started)
        microseconds = self._clock.lap().microseconds
        with Wire(self._server.address) as wire:
            wire.begin()
            operation.call(self._store, chosen[0])
            traffic = wire.end()
        if traffic.round_trips != 1 and not operation.several_trips:
            raise RuntimeError(f"{operation.name} took {traffic.round_trips} round trips")
        return _Spent(
            microseconds / operation.calls, 1000 * quantile(taken, 0.5), traffic.round_trips
        )


def _run(bench: Bench) -> Iterator[Repetition]:
    entries = _recent(real_entries(bench.size(SESSIONS)))
    with bench.server() as server, ExitStack() as stack:
        sites = {}
        for count in PARTITIONS:
            settings = {"partitions": count, "namespace": f"p{count}"}
            config = store_config(server, IDLE_POLICY).model_copy(update=settings)
            store = stack.enter_context(SessionStore.from_url(config=config))
            sites[count] = _Site(server, store, entries)
        for _ in range(bench.repetitions):
            found: dict[str, float] = {}
            for operation in _OPERATIONS:
                for count, site in sites.items():
                    spent = site.measure(operation)
                    found |= {
                        _name(operation, count, what): getattr(spent, what)
                        for what, *_ in _columns(operation)
                    }
            yield found


def _recent(entries: Sequence[SessionEntry]) -> list[SessionEntry]:
    """Return the same, last active within the last days: nothing of it is due for anything."""
    latest, moment = max(entry.updated_at for entry in entries), now()
    return [
        entry.model_copy(
            update={
                "updated_at": moment - (latest - entry.updated_at) / 100,
                "suspended": False,
            }
        )
        for entry in entries
    ]


def _name(operation: _Operation, partitions: int, what: str) -> str:
    return f"{operation.name}_{partitions}_{what}"


def _columns(operation: _Operation) -> Sequence[tuple[str, str, str]]:
    """Return what is given of an operation: field, unit and label."""
    times = (("server_us", "µs", "server time"), ("client_ms", "ms", "client time"))
    return (*times, ("trips", "trips", "round trips")) if operation.several_trips else times


def _measures() -> Iterator[Measure]:
    for operation in _OPERATIONS:
        for what, unit, label in _columns(operation):
            for count in PARTITIONS:
                text = f"{operation.label}: {label}, {count} partition{'s' * (count > 1)}"
                yield Measure(_name(operation, count, what), text, unit)


WORKLOAD = Workload(
    "partitions",
    "What more partitions cost",
    f"Stores of {', '.join(map(str, PARTITIONS))} partitions beside one another on one server,"
    f" each with the sessions of a real gateway's file, multiplied to {SESSIONS:,} and last active"
    f" within a few days. {_CALLS} calls of each operation ({_PAGES} of the list) in each store by"
    " turns, one connection over loopback TCP. Server time is that of all EVALSHAs of an operation,"
    " by `INFO commandstats`; client time the median of the calls; round trips are counted at the"
    " client's sockets, and are one where nothing is said. The last two operations, which ask one"
    " partition or none, are for comparison. On Cluster the masters share the server time, and what"
    " is one round trip here is one a master.",
    tuple(_measures()),
    _run,
)
