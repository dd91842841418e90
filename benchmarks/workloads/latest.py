"""The latest 1,000 sessions of a million."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any

from benchmarks.alternatives.plain import Plain
from benchmarks.server_time import quantile
from benchmarks.sessions import now
from benchmarks.workload import Bench, Measure, Repetition, Site, Workload
from benchmarks.workloads.resolve import MANY
from redisstore.fields import to_ms

LATEST = 1_000
LISTS = 10
PLAIN = 10_000
_PLAIN_DB = 2


def _run(bench: Bench) -> Iterator[Repetition]:
    site, latest = bench.site(MANY), bench.size(LATEST)
    plain = Plain(site.server, _PLAIN_DB)
    plain.connect()
    plain.fill(0, bench.size(PLAIN), to_ms(now()))
    client: Any = site.server.client()
    _slowlog(client, every=True)
    for _ in range(bench.repetitions):
        times, plain_times, scripts, longest = [], [], [], []
        for _ in range(LISTS):
            client.slowlog_reset()
            times.append(_listed(site, latest))
            found = [it["duration"] for it in client.slowlog_get(1000) if _is_script(it)]
            scripts.append(len(found))
            longest.append(max(found))
            plain_times.append(_plain_listed(plain, latest))
        list_ms, plain_ms = quantile(times, 0.5), quantile(plain_times, 0.5)
        yield {
            "list_ms": list_ms,
            "plain_ms": plain_ms,
            "plain_factor": plain_ms / list_ms,
            "scripts": quantile(scripts, 0.5),
            "longest_us": quantile(longest, 0.5),
            "longest_max_us": max(longest),
        }
    _slowlog(client, every=False)


def _is_script(entry: dict[str, Any]) -> bool:
    words: bytes = entry["command"]
    return words.startswith(b"EVAL")


def _slowlog(client: Any, *, every: bool) -> None:  # noqa: ANN401 - redis-py leaves commands untyped
    client.config_set("slowlog-max-len", 1000)
    client.config_set("slowlog-log-slower-than", 0 if every else -1)


def _listed(site: Site, latest: int) -> float:
    started = perf_counter()
    found = sum(1 for _ in site.store.list_sessions(limit=latest))
    if found != latest:
        raise RuntimeError(f"{latest} sessions were to be listed, not {found}")
    return (perf_counter() - started) * 1000


def _plain_listed(plain: Plain, latest: int) -> float:
    started = perf_counter()
    found = len(plain.latest(latest))
    if found != latest:
        raise RuntimeError(f"{latest} sessions were to be listed by hand, not {found}")
    return (perf_counter() - started) * 1000


WORKLOAD = Workload(
    "latest",
    f"The latest {LATEST:,} sessions, listed",
    f"`SessionStore.list_sessions` of the latest {LATEST:,} of {MANY:,} sessions, all read, and the"
    f" same by redis-py, of {PLAIN:,}: ZREVRANGE, and a pipeline of HGETALL, decoded as text."
    f" Client time, median of {LISTS}, in turn. Scripts by `SLOWLOG`, which holds every command:"
    f" how many one list takes, and the longest of each list, median and longest.",
    (
        Measure("list_ms", "list_sessions", "ms"),
        Measure("plain_ms", "redis-py, ZREVRANGE and HGETALLs", "ms"),
        Measure("plain_factor", "redis-py / redisstore", "x"),
        Measure("scripts", "script calls of a list", "calls"),
        Measure("longest_us", "longest script of a list: median", "µs"),
        Measure("longest_max_us", "longest script of all lists", "µs"),
    ),
    _run,
)
