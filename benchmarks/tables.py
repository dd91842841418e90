"""Results as tables: for the terminal, and in Markdown between two markers of a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table as ConsoleTable

from benchmarks.cells import Table, cell
from benchmarks.plots import plots
from benchmarks.results import Results, Section
from benchmarks.summary import summaries

BEGIN = "<!-- benchmarks: begin; written by `python -m benchmarks --markdown` -->"
END = "<!-- benchmarks: end -->"
_NO_SERVER = "client"


def show(results: Results, console: Console) -> None:
    """Print all tables, each under its method, and what they were measured on."""
    for name, value in _circumstances(results):
        console.print(f"[bold]{name}[/]: {value}", highlight=False)
    for table in [*map(_of_section, results.sections), *summaries(results)]:
        console.print(f"\n[bold]{table.title}[/]", highlight=False)
        console.print(table.text.replace("`", ""), style="dim", highlight=False)
        shown = ConsoleTable("", *table.columns)
        for line in table.lines:
            shown.add_row(*(each.replace("**", "") for each in line))
        console.print(shown)


def markdown(results: Results) -> str:
    """Return all tables as Markdown, and the plots between them, markers included."""
    parts = [BEGIN, "\n".join(f"- {name}: {value}" for name, value in _circumstances(results))]
    parts += [table.markdown() for table in summaries(results)]
    parts += [f"![{plot.title}](plots/{plot.name}.svg)" for plot in plots(results)]
    parts += [_of_section(section).markdown() for section in results.sections]
    return "\n\n".join([*parts, END]) + "\n"


def _of_section(section: Section) -> Table:
    lines = []
    for measure, label, unit in section.measures:
        rows = [section.find(measure, backend) for backend in section.backends]
        cells = [cell(row) if row else "not measured" for row in rows]
        lines.append([f"{label}, {unit}", *cells])
    columns = [backend or _NO_SERVER for backend in section.backends]
    return Table(section.title, section.method, columns, lines)


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
