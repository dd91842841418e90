"""The file of the counts: a line an operation; and what differs from it, in words.

A count that is the same everywhere stands alone. One that differs from face to face, or from server
to server, stands for each: ``{"sync": 25, "async": 31}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from tests.costs.counting import COLUMNS, Cost
from tests.costs.steps import PYTHON

__all__ = ["COMMAND", "FILE", "Counts", "differences", "recorded", "write"]

FILE = Path(__file__).parent.parent / "data" / "costs.json"
COMMAND = "python -m tests.costs --write"
Counts: TypeAlias = Mapping[tuple[str, str], Mapping[str, Cost]]
"""By server and face, what each operation costs."""

_KEYS: tuple[Callable[[str, str], str], ...] = (
    lambda _server, face: face,
    lambda server, _face: server,
    lambda server, face: f"{server}, {face}",
)


def write(counts: Counts, path: Path = FILE) -> None:
    """Write the file; every server and face has been counted."""
    names = sorted(next(iter(counts.values())))
    lines = [f"  {json.dumps(name)}: {json.dumps(_line(counts, name))}" for name in names]
    path.write_text(
        f'{{\n "instructions of": {json.dumps(PYTHON)},\n'
        f' "columns": {json.dumps(COLUMNS)},\n'
        ' "operations": {\n' + ",\n".join(lines) + "\n }\n}\n",
        encoding="utf-8",
    )


def recorded(server: str, face: str, path: Path = FILE) -> Mapping[str, Mapping[str, Any]]:
    """Return the counts of the file for one server and face: by operation, by column.

    Instructions are left out where they were counted on another Python than this.
    """
    whole = json.loads(path.read_text("utf-8"))
    found = {}
    for name, line in whole["operations"].items():
        columns = {column: _of(count, server, face) for column, count in line.items()}
        if face != "sync" or whole["instructions of"] != PYTHON:
            columns.pop("instructions")
        found[name] = columns
    return found


def differences(
    expected: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Say in words what has changed, column by column."""
    told = [f"{name}: is not counted any more" for name in expected.keys() - found.keys()]
    told += [f"{name}: is not in the file" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        for column, count in expected[name].items():
            now = found[name][column]
            if now != count:
                told.append(f"{name}: {column} {_change(count, now)}")
    return sorted(told)


def _change(before: Any, now: Any) -> str:
    if not isinstance(now, str):
        return f"{before} -> {now} ({now - before:+})"
    old, new = before.split(), now.split()
    gone = [f"-{one}" for one in old if one not in new]
    come = [f"+{one}" for one in new if one not in old]
    return " ".join(gone + come)


def _line(counts: Counts, name: str) -> Mapping[str, Any]:
    return {
        column: _together(
            {
                (server, face): costs[name].columns()[column]
                for (server, face), costs in counts.items()
                if column != "instructions" or face == "sync"
            }
        )
        for column in COLUMNS
    }


def _together(values: Mapping[tuple[str, str], Any]) -> Any:
    """Return the one value, or the values by what makes them differ."""
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    for key in _KEYS:
        by_key: dict[str, set[Any]] = {}
        for where, value in values.items():
            by_key.setdefault(key(*where), set()).add(value)
        if all(len(same) == 1 for same in by_key.values()):
            return {one: same.pop() for one, same in by_key.items()}
    raise AssertionError("a server and a face have one value")


def _of(count: Any, server: str, face: str) -> Any:
    if not isinstance(count, dict):
        return count
    return next(count[key(server, face)] for key in _KEYS if key(server, face) in count)
