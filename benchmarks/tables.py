"""Results as tables: for the terminal, and in Markdown between two markers of a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.results import Results, Row, Section

BEGIN = "<!-- benchmarks: begin; written by `python -m benchmarks --markdown` -->"
END = "<!-- benchmarks: end -->"
_NO_SERVER = "client"


def show(results: Results, console: Console) -> None:
    """Print all tables, each under its method, and what they were measured on."""
    for name, value in _circumstances(results):
        console.print(f"[bold]{name}[/]: {value}", highlight=False)
    for section in results.sections:
        console.print(f"\n[bold]{section.title}[/]", highlight=False)
        console.print(section.method.replace("`", ""), style="dim", highlight=False)
        table = Table("", *_columns(section))
        for line in _lines(section):
            table.add_row(*line)
        console.print(table)


def markdown(results: Results) -> str:
    """Return all tables as Markdown, markers included."""
    parts = [BEGIN, "\n".join(f"- {name}: {value}" for name, value in _circumstances(results))]
    for section in results.sections:
        columns = _columns(section)
        head = ["| |" + "".join(f" {name} |" for name in columns), "|---|" + "---:|" * len(columns)]
        body = ["| " + " | ".join(line) + " |" for line in _lines(section)]
        parts += [f"### {section.title}", section.method, "\n".join([*head, *body])]
    return "\n\n".join([*parts, END]) + "\n"


def write_markdown(results: Results, path: Path) -> None:
    """Put the tables between the markers of a page, or make a page that holds only them.

    Raises:
        ValueError: there is a page, but it has no markers; it is left as it is.

    """
    tables = markdown(results)
    if path.exists():
        page = path.read_text("utf-8")
        before, begin, rest = page.partition(BEGIN)
        _, end, after = rest.partition(END + "\n")
        if not begin or not end:
            raise ValueError(f"{path} has no line {BEGIN!r} with a line {END!r} after it")
        tables = before + tables + after
    path.write_text(tables, encoding="utf-8")


def _circumstances(results: Results) -> Iterator[tuple[str, str]]:
    yield from results.machine.items()
    yield from results.backends.items()
    scale = "" if results.scale == 1 else f"; every size times {results.scale:g}"
    yield "a cell", f"median (smallest to largest) of {results.repetitions} repetitions{scale}"


def _columns(section: Section) -> list[str]:
    return [backend or _NO_SERVER for backend in section.backends]


def _lines(section: Section) -> Iterator[list[str]]:
    for measure, label, unit in section.measures:
        cells = [_cell(section.row(measure, backend)) for backend in section.backends]
        yield [f"{label}, {unit}", *cells]


def _cell(row: Row) -> str:
    low, high = row.spread
    middle = _number(row.median)
    if low == high:
        return middle
    return f"{middle} ({_number(low)} to {_number(high)})"


def _number(value: float) -> str:
    """Return three significant digits, and whole numbers in full."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
