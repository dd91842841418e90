"""The plots of a run: which numbers go into which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.alternatives import ALTERNATIVES
from benchmarks.results import Results, Row
from benchmarks.svg import Bar, Group, chart

_FLOOR = {
    "commands_us": "HGETALL, HSET, ZADD: the commands",
    "script_us": "the same three in a script",
    "store_us": "get_or_create_session",
    "idle_us": "get_or_create_session, policy idle",
}
_MEMORY = {
    "daily_entry": "hash and its key",
    "daily_updated_at": "index by last activity",
    "daily_session_ids": "index by session id",
    "daily_expiry": "index by deadline (policy daily)",
    "turn": "a turn that runs",
    "next_id": "a message id",
}
_GROWTH = (
    ("gateway", "few_message", "hermes-agent's own store, 1,000 sessions", 1.0),
    ("gateway", "many_message", "hermes-agent's own store, 100,000 sessions", 1.0),
    ("resolve", "few_client_us", "redisstore, 1,000 sessions", 0.001),
    ("resolve", "many_client_us", "redisstore, 1,000,000 sessions", 0.001),
)


class Plot(NamedTuple):
    """A picture: its file is its name with `.svg`."""

    name: str
    title: str
    svg: str


def plots(results: Results) -> list[Plot]:
    """Return the plots that the run has numbers for."""
    found = (
        _plot(
            "message", "A message on an existing session, one at a time", "µs", _message(results)
        ),
        _plot("people", "64 people at once in one process", "messages a second", _people(results)),
        _plot("growth", "A message, by number of sessions", "ms", _growth(results), log=True),
        _plot("server", "Server time of a message", "µs", _of(results, "floor", _FLOOR)),
        _plot("memory", "Memory on the server", "bytes", _of(results, "memory", _MEMORY)),
    )
    return [plot for plot in found if plot]


def write_plots(results: Results, folder: Path) -> None:
    """Write all plots into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for plot in plots(results):
        (folder / f"{plot.name}.svg").write_text(plot.svg, encoding="utf-8")


def _plot(
    name: str, title: str, unit: str, groups: Iterator[Group], *, log: bool = False
) -> Plot | None:
    drawn = [group for group in groups if group.bars]
    return Plot(name, title, chart(title, unit, drawn, logarithmic=log)) if drawn else None


def _message(results: Results) -> Iterator[Group]:
    for kind in ALTERNATIVES:
        yield Group(_plain(kind.label), _bars(results, "beside_message", kind.name))


def _people(results: Results) -> Iterator[Group]:
    for kind in ALTERNATIVES:
        yield Group(_plain(kind.label), _bars(results, "people", kind.name))
    yield Group(
        "limit: the same EVALSHA, without Python", _bars(results, "round_trip", "c_bare_64_rate")
    )


def _growth(results: Results) -> Iterator[Group]:
    for workload, measure, label, factor in _GROWTH:
        yield Group(label, _bars(results, workload, measure, factor))


def _of(results: Results, workload: str, labels: dict[str, str]) -> Iterator[Group]:
    for measure, label in labels.items():
        yield Group(label, _bars(results, workload, measure))


def _plain(label: str) -> str:
    return label.replace("`", "")


def _bars(results: Results, workload: str, measure: str, factor: float = 1.0) -> Sequence[Bar]:
    section = results.section(workload)
    rows = section.rows if section else ()
    return [_bar(row, factor) for row in rows if row.measure == measure]


def _bar(row: Row, factor: float) -> Bar:
    low, high = row.spread
    return Bar(row.backend or "no server", row.median * factor, low * factor, high * factor)
