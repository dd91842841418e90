"""The command: ``python -m benchmarks``, ``make bench``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.machine import missing
from benchmarks.plots import write_plots
from benchmarks.results import Results
from benchmarks.runner import run
from benchmarks.tables import show, write_markdown
from benchmarks.workloads import WORKLOADS
from tests.servers import BACKEND_NAMES, Backend, available

_ROOT = Path(__file__).parent.parent
RESULTS = _ROOT / "benchmarks" / "results.json"
PAGE = _ROOT / "docs" / "benchmarks.md"
PLOTS = _ROOT / "docs" / "plots"
_REPETITIONS, _QUICK_REPETITIONS = 3, 1
_QUICK_SCALE = 0.05


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or read what was measured; show it, and write what is asked for."""
    parser = _parser()
    wanted = parser.parse_args(arguments)
    if wanted.publish:
        wanted.json, wanted.markdown, wanted.plots = RESULTS, PAGE, PLOTS
    console = Console(width=None if Console().is_terminal else 160)
    results = Results.load(wanted.render) if wanted.render else _measured(parser, wanted, console)
    show(results, console)
    if wanted.json:
        results.save(wanted.json)
    if wanted.plots:
        write_plots(results, wanted.plots)
    if wanted.markdown:
        try:
            write_markdown(results, wanted.markdown)
        except ValueError as error:
            parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--backend",
        action="append",
        choices=BACKEND_NAMES,
        help="measure this server only; can be given several times (default: all there are)",
    )
    parser.add_argument(
        "--workload",
        action="append",
        choices=[workload.name for workload in WORKLOADS],
        help="measure this only; can be given several times",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{_QUICK_REPETITIONS} repetition at scale {_QUICK_SCALE}, to see that all works",
    )
    parser.add_argument("--repetitions", type=int, choices=range(1, 10), metavar="1-9")
    parser.add_argument("--scale", type=_positive, help="multiply every size by this (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="put the tables between this page's markers"
    )
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write the plots here")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write all three where the project keeps them: benchmarks/ and docs/",
    )
    parser.add_argument(
        "--render", type=Path, metavar="FILE", help="measure nothing; show a results file"
    )
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 10:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 10, not {text}")
    return value


def _measured(
    parser: argparse.ArgumentParser, wanted: argparse.Namespace, console: Console
) -> Results:
    backends = _backends(parser, wanted.backend)
    workloads = [one for one in WORKLOADS if not wanted.workload or one.name in wanted.workload]
    if any(one.needs_others for one in workloads) and missing():
        parser.error(f"{', '.join(missing())} not installed: see `make bench`, or --workload")
    usual = _QUICK_REPETITIONS if wanted.quick else _REPETITIONS
    repetitions = wanted.repetitions or usual
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        parts = len({one.label(b.name) for one in workloads for b in backends})
        everything = progress.add_task("all", total=parts * repetitions)
        current = progress.add_task("", total=repetitions)

        def on_step(label: str, done: int) -> None:
            if not done:
                progress.reset(current, description=label)
            progress.update(current, completed=done)
            progress.advance(everything, 1 if done else 0)
            if done == repetitions and not console.is_terminal:
                console.print(f"{progress.tasks[-1].elapsed:6.1f} s  {label}")

        return run(
            workloads,
            backends,
            repetitions=repetitions,
            scale=wanted.scale or (_QUICK_SCALE if wanted.quick else 1.0),
            on_step=on_step,
        )


def _backends(parser: argparse.ArgumentParser, names: Sequence[str] | None) -> list[Backend]:
    present = {backend.name: backend for backend in available()}
    missing = [name for name in names or () if name not in present]
    if missing or not present:
        parser.error(f"not installed: {', '.join(missing or BACKEND_NAMES)}")
    return [present[name] for name in names or present]


if __name__ == "__main__":
    main()
