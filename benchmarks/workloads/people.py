"""Many people at once in one process: what one event loop gets out of one server."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from time import perf_counter

from benchmarks.alternatives import ALTERNATIVES, Alternative
from benchmarks.workload import Bench, Measure, Repetition, Workload

SESSIONS = 1_000
PEOPLE = 64
CALLS = 2_000
_PARTS = 4
"""Everybody has so many turns in a repetition: whatever disturbs them, disturbs all."""
_REFERENCE = "bare_async"
_KINDS = tuple(kind for kind in ALTERNATIVES if kind.concurrent)


def _run(bench: Bench) -> Iterator[Repetition]:
    sessions, part = bench.size(SESSIONS), max(2 * PEOPLE, bench.size(CALLS) // _PARTS)
    weights = [1 / rank for rank in range(1, sessions + 1)]
    choice = random.Random(1)
    with bench.server() as server, asyncio.Runner() as runner:
        alternatives = [kind(server, db) for db, kind in enumerate(_KINDS)]
        for one in alternatives:
            runner.run(one.open(sessions, connections=PEOPLE))
            runner.run(_serve(one, range(2 * PEOPLE % sessions), sessions))
        for _ in range(bench.repetitions):
            seconds = dict.fromkeys((one.name for one in alternatives), 0.0)
            for _ in range(_PARTS):
                chosen = choice.choices(range(sessions), weights, k=part)
                for one in alternatives:
                    seconds[one.name] += runner.run(_serve(one, chosen, sessions))
            rates = {name: part * _PARTS / taken for name, taken in seconds.items()}
            factors = {
                f"{name}_factor": rate / rates[_REFERENCE]
                for name, rate in rates.items()
                if name != _REFERENCE
            }
            yield rates | factors
        for one in alternatives:
            runner.run(one.close())


async def _serve(one: Alternative, chosen: Sequence[int], sessions: int) -> float:
    """Let all people send the messages, each as soon as the one before is answered."""
    waiting = iter(chosen)
    versions: list[list[object]] = [[] for _ in range(sessions)]
    """Of each session, what its calls were answered, in the order in which they were made."""

    async def person() -> None:
        for number in waiting:
            place = len(versions[number])
            versions[number].append(None)
            versions[number][place] = await one.message(number)

    started = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(PEOPLE):
            group.create_task(person())
    seconds = perf_counter() - started
    if one.name == "ours_async":
        _check_order(versions)
    return seconds


def _check_order(versions: Sequence[Sequence[object]]) -> None:
    for answers in versions:
        for earlier, later in itertools.pairwise(answers):
            if not (isinstance(earlier, int) and isinstance(later, int) and earlier < later):
                raise RuntimeError(f"calls on one session were served out of order: {answers}")


def _measures() -> Iterator[Measure]:
    for kind in _KINDS:
        yield Measure(kind.name, kind.label, "1/s")
        if kind.name != _REFERENCE:
            yield Measure(f"{kind.name}_factor", "the same / bare EVALSHA", "x")


WORKLOAD = Workload(
    "people",
    f"{PEOPLE} people at once, in one process",
    f"{PEOPLE} tasks in one event loop send {CALLS:,} messages on {SESSIONS:,} sessions, each as"
    " soon as the one before is answered; the session of each is chosen by Zipf's law, so that the"
    f" first gets one in eight. Messages a second. Each with up to {PEOPLE} connections, if it uses"
    f" them; {_PARTS} parts by turns, the same messages for all. The run fails if redisstore"
    " does not serve the calls on a session in the order in which they were made.",
    tuple(_measures()),
    _run,
    needs_others=True,
)
