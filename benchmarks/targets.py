"""What is asked of the store, as bounds on what is measured, and whether a run has met them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.results import Results, Row


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on the median of one measure; on every server, or on one of them."""

    label: str
    workload: str
    measure: str
    bound: Literal["at most", "at least"]
    value: float
    backend: str | None = None

    def met(self, row: Row) -> bool | None:
        """Return whether a row keeps the bound; ``None``: there is none for its server."""
        if self.backend not in {None, row.backend}:
            return None
        if self.bound == "at most":
            return row.median <= self.value
        return row.median >= self.value

    def row(self, results: Results, backend: str) -> Row | None:
        """Return what was measured on a server, if it was."""
        section = results.section(self.workload)
        return section.find(self.measure, backend) if section else None


TARGETS: tuple[Target, ...] = (
    Target("get_or_create / bare EVALSHA, time", "round_trip", "store_factor", "at most", 1.10),
    Target("the same, asyncio, 1 task", "round_trip", "alone_factor", "at most", 1.15),
    Target(
        "asyncio, 64 tasks / bare EVALSHA with a pool, throughput",
        "round_trip",
        "crowd_throughput",
        "at least",
        1.5,
    ),
    Target("the same with 64 people by Zipf's law", "people", "ours_async_factor", "at least", 1.5),
    Target(
        "server time: get_or_create / script of its three commands",
        "floor",
        "script_factor",
        "at most",
        1.4,
    ),
    Target(
        "server time of get_or_create: 1,000,000 sessions / 1,000",
        "resolve",
        "server_growth",
        "at most",
        1.3,
    ),
    Target(
        "server time: a turn's begin and end / get_or_create",
        "turn_cost",
        "server_factor",
        "at most",
        2.5,
    ),
    Target(
        "prune, distinct times: removed a second / bare script",
        "prune_distinct",
        "bare_share",
        "at least",
        0.6,
    ),
    Target(
        "prune, equal times: removed a second / bare script",
        "prune_equal",
        "bare_share",
        "at least",
        0.6,
    ),
    Target(
        "prune: a call that removes all it looks at, median, µs",
        "prune_distinct",
        "removing_median_us",
        "at most",
        1000,
    ),
    Target("p99 of get_or_create, during a prune / at rest", "tenth", "p99_factor", "at most", 2.0),
    Target(
        "bytes a session, policy none, on Redis 8.2",
        "memory",
        "none_total",
        "at most",
        550,
        backend="redis-8.2",
    ),
    Target("import, bare pipeline / store", "importing", "bare_factor", "at most", 3.0),
    Target("latest 1,000: longest script, µs", "latest", "longest_max_us", "at most", 2000),
    Target(
        "start-up: more commands with 1,000,000 sessions", "start", "more_commands", "at most", 0
    ),
    Target("Cluster of three: keys, % from even", "spread", "keys_uneven", "at most", 5),
    Target("Cluster of three: memory, % from even", "spread", "memory_uneven", "at most", 5),
    Target("Cluster of three: server time, % from even", "spread", "time_uneven", "at most", 5),
)
