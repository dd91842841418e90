"""What stands in the way: the store's scripts with one part taken out, in turn with the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

from benchmarks.server_time import ServerTime, quantile
from benchmarks.sessions import real_entries
from benchmarks.workload import NO_POLICY, Bench, Measure, Repetition, Workload
from benchmarks.workloads import floor, prune
from redisstore.fields import to_ms
from redisstore.scripts import library

CALLS = 4_000
_AT_A_TIME = 50
ENTRIES = 5_000
_WHOLE = "whole"


class _Part(NamedTuple):
    """A part of a script: what it is called, where it first stands, and what stands there then."""

    label: str
    lines: str
    instead: str


_NOTHING = "local _ = nil"
_OF_MESSAGE = {
    "clock": _Part("the server's time", "redis.call('TIME')", "{ '1763810553', '123000' }"),
    "checks": _Part(
        "the checks that the entry is whole", "not_whole = exists and", "not_whole = false and"
    ),
    "expiry": _Part(
        "the index of deadlines", "redis.call('ZREM', expiry_index, session_key)", _NOTHING
    ),
    "reply": _Part("the entry as the reply", "call_id)\n  return reply", "call_id)\n  return 1"),
}
_OF_PRUNE = {
    "bindings": _Part(
        "the way back from session ids",
        "attempt('HDEL', ids_of(session_ids[i]), removed[i])",
        _NOTHING,
    ),
    "event": _Part("the event", "announce('pruned', unpack(told))", _NOTHING),
    "indexes": _Part(
        "the three indexes beside the first",
        "scanned > 0 and { updated_at_index, expiry_index, active_index, turns_index }",
        "scanned > 0 and { updated_at_index }",
    ),
    "report": _Part(
        "the answer that is kept for a repetition", "remember(cjson.encode(report))", _NOTHING
    ),
}


def _scripts(name: str, parts: Mapping[str, _Part]) -> dict[str, str]:
    """Return a script as it is, and without each of the parts."""
    text = library(shebang=True)[name].text
    for label, lines, _ in parts.values():
        if lines not in text:
            raise RuntimeError(f"{name}.lua has no place of {label}: {lines}")
    without = {part: text.replace(one.lines, one.instead, 1) for part, one in parts.items()}
    return {_WHOLE: text, **without}


def _shares(used: Mapping[str, float]) -> Repetition:
    """Return the time of the whole, and what share of it is saved without each part."""
    whole = used[_WHOLE]
    saved = {part: 100 * (1 - one / whole) for part, one in used.items() if part != _WHOLE}
    return {"whole_us": whole, **saved}


def _message(bench: Bench) -> Iterator[Repetition]:
    entries = [one for one in real_entries(bench.size(floor.SESSIONS)) if not one.suspended]
    rounds = max(1, bench.size(CALLS) // _AT_A_TIME)
    with ExitStack() as stack:
        server = stack.enter_context(bench.server())
        ways = floor.Ways(server, stack.enter_context(bench.store(server, NO_POLICY)), entries)
        client: Any = server.client()
        known = {
            part: client.script_load(text)
            for part, text in _scripts("get_or_create_session", _OF_MESSAGE).items()
        }
        for _ in range(bench.repetitions):
            laps: dict[str, list[float]] = {part: [] for part in known}
            for number in range(rounds):
                at = number * _AT_A_TIME
                some = [entries[n % len(entries)] for n in range(at, at + _AT_A_TIME)]
                for part, sha in known.items():
                    laps[part].append(ways.store_together(some, sha=sha))
            yield _shares({part: quantile(values, 0.5) for part, values in laps.items()})


def _prune(bench: Bench) -> Iterator[Repetition]:
    entries, batch = bench.size(ENTRIES), prune.BATCH
    scripts = _scripts("prune", _OF_PRUNE)
    with bench.server() as server:
        for _ in range(bench.repetitions):
            used: dict[str, float] = {}
            for part, text in scripts.items():
                with bench.store(server, NO_POLICY) as store:
                    home = prune.load(server, store, entries, distinct=True, kept=False)
                script: Any = server.client().register_script(text)
                # Looks at nothing: only teaches the server the script.
                script(keys=home, args=[0, "", 1, 0, "", "", ""])
                clock, cutoff, number, removed = ServerTime(server), to_ms(prune.cutoff()), 0, 0
                while removed < entries:
                    number += 1
                    args = [cutoff, "", batch, 0, "", f"{part}-{number}", 10_000]
                    removed += len(script(keys=home, args=args)[-1])
                lap = clock.lap()
                used[part] = lap.microseconds / lap.calls
            yield _shares(used)


def _measures(parts: Mapping[str, _Part]) -> tuple[Measure, ...]:
    return (
        Measure("whole_us", "server time of a call", "µs"),
        *(Measure(name, f"saved without {part.label}", "%") for name, part in parts.items()),
    )


MESSAGE = Workload(
    "message_parts",
    "get_or_create_session without one of its parts",
    f"The script as it is, and with one part taken out, {_AT_A_TIME} calls of each in turn, in one"
    f" pipeline, {CALLS:,} in all, on the {floor.SESSIONS} sessions of a real gateway's file,"
    " policy none. Server time of EVALSHA by `INFO commandstats`, the median of the means. Without"
    " a part a promise is broken; this only tells what the promise costs.",
    _measures(_OF_MESSAGE),
    _message,
)
PRUNE = Workload(
    "prune_parts",
    "Prune without one of its parts",
    f"The script as it is, and with one part taken out, each on {ENTRIES:,} stale sessions of its"
    f" own, in batches of {prune.BATCH}, likewise.",
    _measures(_OF_PRUNE),
    _prune,
)
