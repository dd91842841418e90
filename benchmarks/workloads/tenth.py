"""Prune of a tenth of a million: how long it takes, and what messages notice of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from time import perf_counter

from benchmarks.alternatives.plain import Plain
from benchmarks.neighbour import Neighbour
from benchmarks.server_time import ServerTime, quantile
from benchmarks.sessions import chat_id, fill, now, source
from benchmarks.workload import SITE, Bench, Measure, Repetition, Site, Workload
from benchmarks.workloads.resolve import MANY
from redisstore.fields import to_ms

STALE = MANY // 10
PLAIN = 20_000
MESSAGES = 3_000
_LONGEST = 1.0
"""Seconds of PING: some thousand messages beside it, as many as at rest."""
_STEM = "s"
_AGE, _CUTOFF = timedelta(days=200), timedelta(days=90)


class _Messages:
    """Messages of the sessions that stay, and how long each takes."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._random = random.Random(2)

    def while_true(self, goes_on: Callable[[int], bool]) -> list[float]:
        """Send messages as long as it goes on; return the milliseconds of each."""
        taken: list[float] = []
        while goes_on(len(taken)):
            each = source(chat_id(SITE, self._random.randrange(self._site.sessions)))
            started = perf_counter()
            self._site.store.get_or_create_session(each)
            taken.append((perf_counter() - started) * 1000)
        return taken


def _run(bench: Bench) -> Iterator[Repetition]:
    site = bench.site(MANY)
    stale, messages = bench.size(STALE), _Messages(site)
    plain = _plain(bench, site)
    for _ in range(bench.repetitions):
        rest = messages.while_true(lambda sent: sent < bench.size(MESSAGES))
        fill(site.server, site.store, _STEM, stale, updated_at=now() - _AGE)
        clock = ServerTime(site.server)
        alone = _prune(site, stale)
        lap = clock.lap()
        fill(site.server, site.store, _STEM, stale, updated_at=now() - _AGE)
        with Neighbour("prune", site.server.url(), (now() - _CUTOFF).isoformat()) as pruning:
            during = messages.while_true(lambda sent: pruning.busy or sent == 0)
            report = pruning.result()
        if report["done"] != stale:
            raise RuntimeError(f"{stale} sessions were to be removed: {report}")
        seconds = min(report["seconds"], _LONGEST)
        with Neighbour("ping", site.server.url(), f"{seconds:.3f}") as pinging:
            beside = messages.while_true(lambda sent: pinging.busy or sent == 0)
        tails = {name: quantile(times, 0.99) for name, times in _named(rest, during, beside)}
        plain_rate = _plain_rate(bench, plain)
        yield {
            "seconds": alone,
            "rate": stale / alone,
            "plain_rate": plain_rate,
            "plain_factor": plain_rate * alone / stale,
            "call_us": lap.microseconds / lap.calls,
            "rest_median_ms": quantile(rest, 0.5),
            "during_median_ms": quantile(during, 0.5),
            **{f"{name}_p99_ms": value for name, value in tails.items()},
            "p99_factor": tails["during"] / tails["rest"],
            "beside_factor": tails["beside"] / tails["rest"],
        }


def _named(
    rest: list[float], during: list[float], beside: list[float]
) -> tuple[tuple[str, list[float]], ...]:
    return (("rest", rest), ("during", during), ("beside", beside))


def _prune(site: Site, stale: int) -> float:
    started = perf_counter()
    report = site.store.prune_old_entries(before=now() - _CUTOFF)
    if report.removed != stale:
        raise RuntimeError(f"{stale} sessions were to be removed: {report}")
    return perf_counter() - started


def _plain(bench: Bench, site: Site) -> Plain:
    """Return a store by hand with sessions of its own, in another database of the server."""
    plain = Plain(site.server, 1)
    plain.connect()
    plain.fill(0, bench.size(PLAIN), to_ms(now()))
    return plain


def _plain_rate(bench: Bench, plain: Plain) -> float:
    stale = bench.size(PLAIN // 10)
    plain.fill(bench.size(PLAIN), stale, to_ms(now() - _AGE))
    started = perf_counter()
    removed = plain.prune(to_ms(now() - _CUTOFF))
    if removed != stale:
        raise RuntimeError(f"{stale} sessions were to be removed by hand, not {removed}")
    return stale / (perf_counter() - started)


WORKLOAD = Workload(
    "tenth",
    "Prune of a tenth of a million, and what messages notice",
    f"{STALE:,} stale sessions beside {MANY:,} that stay, removed by one"
    " `SessionStore.prune_old_entries`. Beside it, on the same server, a redis-py pipeline of"
    f" UNLINK and ZREM on {PLAIN // 10:,} of {PLAIN:,} sessions that have one index, without any"
    f" check. Client time. Then the same prune by another process, while this one sends"
    " `get_or_create_session` without pause, one connection; at rest, nothing else runs. Client,"
    " server and the pruning process share two cores: what that alone costs shows where the other"
    " process sends PING without pause instead.",
    (
        Measure("seconds", f"prune of {STALE:,}", "s"),
        Measure("rate", "sessions removed a second", "1/s"),
        Measure("plain_rate", "the same by a redis-py pipeline", "1/s"),
        Measure("plain_factor", "pipeline / redisstore", "x"),
        Measure("call_us", "mean server time of a call", "µs"),
        Measure("rest_median_ms", "a message at rest: median", "ms"),
        Measure("during_median_ms", "a message during the prune: median", "ms"),
        Measure("rest_p99_ms", "a message at rest: p99", "ms"),
        Measure("during_p99_ms", "a message during the prune: p99", "ms"),
        Measure("p99_factor", "p99, during / at rest", "x"),
        Measure("beside_p99_ms", "a message beside a process that sends PING: p99", "ms"),
        Measure("beside_factor", "p99, beside PING / at rest", "x"),
    ),
    _run,
)
