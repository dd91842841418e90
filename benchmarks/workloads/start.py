"""A gateway starts: what that takes until its first message is served, by number of sessions."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from benchmarks.server_time import quantile
from benchmarks.sessions import chat_id, source
from benchmarks.workload import (
    IDLE_POLICY,
    SITE,
    Bench,
    Measure,
    Repetition,
    Site,
    Workload,
    store_config,
)
from benchmarks.workloads.resolve import FEW, MANY
from redisstore import SessionStore

STARTS = 20


def _run(bench: Bench) -> Iterator[Repetition]:
    few, many = bench.site(FEW), bench.site(MANY)
    for _ in range(bench.repetitions):
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(STARTS):
            for taken, site in zip(times, (few, many), strict=True):
                taken.append(_start(site))
        few_ms, many_ms = (quantile(taken, 0.5) for taken in times)
        few_commands, many_commands = _commands(few), _commands(many)
        yield {
            "few_ms": few_ms,
            "many_ms": many_ms,
            "growth": many_ms / few_ms,
            "few_commands": few_commands,
            "many_commands": many_commands,
            "more_commands": many_commands - few_commands,
        }


def _start(site: Site) -> float:
    """Open a store on what is there, and serve one message; return the milliseconds."""
    started = perf_counter()
    with SessionStore.from_url(config=store_config(site.server, IDLE_POLICY)) as store:
        store.get_or_create_session(source(chat_id(SITE, 0)))
        return (perf_counter() - started) * 1000


def _commands(site: Site) -> int:
    """Count the commands that a start takes, those inside of scripts included."""
    before = sum(site.server.commandstats().values())
    asked = sum(site.server.commandstats().values()) - before
    _start(site)
    return sum(site.server.commandstats().values()) - before - 2 * asked


WORKLOAD = Workload(
    "start",
    "Start-up",
    "`SessionStore.from_url` on a store that is there, and its first `get_or_create_session`:"
    f" connection, layout, script, answer. Client time, median of {STARTS}, with {FEW:,} and with"
    f" {MANY:,} sessions by turns. Commands by `INFO commandstats`, those inside of scripts"
    " included.",
    (
        Measure("few_ms", f"start and first message, {FEW:,} sessions", "ms"),
        Measure("many_ms", f"start and first message, {MANY:,} sessions", "ms"),
        Measure("growth", "ratio of the two", "x"),
        Measure("few_commands", f"commands, {FEW:,} sessions", "commands"),
        Measure("many_commands", f"commands, {MANY:,} sessions", "commands"),
        Measure("more_commands", f"more commands with {MANY:,} sessions", "commands"),
    ),
    _run,
)
