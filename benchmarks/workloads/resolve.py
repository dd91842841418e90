"""The call of each message: does it cost more when there are more sessions?"""

from __future__ import annotations

import random
from collections.abc import Iterator
from time import perf_counter

from benchmarks.server_time import ServerTime, quantile
from benchmarks.sessions import chat_id, source
from benchmarks.workload import SITE, Bench, Measure, Repetition, Site, Workload

FEW, MANY = 1_000, 1_000_000
CALLS = 2_000
_AT_A_TIME = 50


class _Messages:
    """Messages of a site's sessions, chosen at random."""

    def __init__(self, site: Site) -> None:
        self._store, self._sessions = site.store, site.sessions
        self._random = random.Random(1)
        self._store.get_or_create_session(source(chat_id(SITE, 0)))
        self._clock = ServerTime(site.server)

    def send(self, calls: int) -> tuple[float, list[float]]:
        """Return the server time of so many calls and the client time of each, in µs."""
        sources = [
            source(chat_id(SITE, self._random.randrange(self._sessions))) for _ in range(calls)
        ]
        taken: list[float] = []
        self._clock.lap()
        for each in sources:
            started = perf_counter()
            self._store.get_or_create_session(each)
            taken.append((perf_counter() - started) * 1e6)
        lap = self._clock.lap()
        if lap.calls != calls:
            raise RuntimeError(f"{calls} calls on existing sessions were expected: {lap}")
        return lap.microseconds, taken


def _run(bench: Bench) -> Iterator[Repetition]:
    few, many = (_Messages(bench.site(size)) for size in (FEW, MANY))
    rounds = max(1, bench.size(CALLS) // _AT_A_TIME)
    for _ in range(bench.repetitions):
        servers: tuple[list[float], list[float]] = ([], [])
        clients: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for number, messages in enumerate((few, many)):
                server, client = messages.send(_AT_A_TIME)
                servers[number].append(server / _AT_A_TIME)
                clients[number].extend(client)
        few_server, many_server = (quantile(each, 0.5) for each in servers)
        few_client, many_client = (quantile(each, 0.5) for each in clients)
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
    f" each, {_AT_A_TIME} in turn, on sessions chosen at random, one connection over loopback TCP."
    f" Server time is EVALSHA's by `INFO commandstats`, the median of the means of {_AT_A_TIME}"
    " calls; client time the median of the calls.",
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
