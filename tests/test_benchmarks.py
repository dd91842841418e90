"""The benchmarks run, report every row they promise, and the page shows the published run."""

from __future__ import annotations

import fcntl
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

import pytest

from benchmarks.alternatives import ALTERNATIVES
from benchmarks.plots import plots, write_plots
from benchmarks.results import Results, Row, Section
from benchmarks.tables import BEGIN, END, markdown, write_markdown
from benchmarks.targets import TARGETS, Target
from benchmarks.workloads import WORKLOADS
from tests.servers import available, missing

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a tiny run of everything on one server has printed and written, one for all workers."""
    if not available():
        missing("there is no server binary")
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "benchmarks"
    # Another test process may be at it, or at the environment.
    with (ROOT / "pyproject.toml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "printed.txt").exists():
            folder.mkdir(exist_ok=True)
            (folder / "page.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
            (folder / "printed.txt").write_text(tiny_run(folder))
    return folder


def tiny_run(folder: Path) -> str:
    size = ["--repetitions", "2", "--scale", "0.005", "--backend", available()[0].name]
    files = ["--json", str(folder / "results.json"), "--markdown", str(folder / "page.md")]
    files += ["--plots", str(folder / "plots")]
    done = subprocess.run(
        [str(python_of_the_benchmarks()), "-m", "benchmarks", *size, *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def python_of_the_benchmarks() -> Path:
    """The Python of `make bench`, whose environment is made now if it is not there yet."""
    # A make that runs the tests hands down its own options in the environment.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    made = subprocess.run(
        ["make", f"PYTHON={sys.executable}", ".venv-bench/.for-bench"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        missing(f"what the store is compared with can't be installed: {made.stderr[-500:]}")
    return ROOT / ".venv-bench" / "bin" / "python"


def test_every_measure_of_every_workload_is_printed(folder: Path) -> None:
    printed = (folder / "printed.txt").read_text()
    for workload in WORKLOADS:
        assert workload.title in printed
        for measure in workload.measures:
            assert f"{measure.label}, {measure.unit} " in printed


def test_the_results_file_holds_a_value_for_each_repetition(folder: Path) -> None:
    results = Results.load(folder / "results.json")
    assert results.repetitions == 2
    assert [section.workload for section in results.sections] == [one.name for one in WORKLOADS]
    for workload, section in zip(WORKLOADS, results.sections, strict=True):
        backend = available()[0].name if workload.uses_server else ""
        for measure in workload.measures:
            row = section.find(measure.name, backend)
            if row is None:
                assert measure.optional
                continue
            values = row.values
            assert len(values) == 2
            assert all(math.isfinite(value) for value in values)


def test_a_small_sweep_looks_at_each_entry_once(folder: Path) -> None:
    results = Results.load(folder / "results.json")
    for name in ("prune_distinct", "prune_equal"):
        section = results.section(name)
        assert section is not None
        assert section.row("scanned", available()[0].name).values == (200, 200)


def test_the_plots_are_pictures_and_the_same_each_time(folder: Path) -> None:
    results = Results.load(folder / "results.json")
    names = [plot.name for plot in plots(results)]
    assert names == ["message", "people", "growth", "server", "memory"]
    write_plots(results, folder / "again")
    for name in names:
        written = (folder / "plots" / f"{name}.svg").read_text()
        assert ET.fromstring(written).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - ours
        assert (folder / "again" / f"{name}.svg").read_text() == written


def test_the_tables_go_between_the_markers_of_a_page(folder: Path) -> None:
    tables = markdown(Results.load(folder / "results.json"))
    assert (folder / "page.md").read_text() == f"before\n{tables}after\n"


def test_a_page_without_markers_is_refused_and_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("mine\n")
    nothing = Results(machine={}, backends={}, repetitions=1, scale=1, sections=())
    with pytest.raises(ValueError, match="has no line"):
        write_markdown(nothing, page)
    assert page.read_text() == "mine\n"


def test_every_target_is_a_bound_on_something_that_is_measured() -> None:
    measures = {(one.name, measure.name) for one in WORKLOADS for measure in one.measures}
    assert {(target.workload, target.measure) for target in TARGETS} <= measures


@pytest.mark.parametrize(
    ("values", "bound", "verdict"),
    [
        ((1.0, 1.3, 9.0), "at most", "1.3 (1 to 9): met"),
        ((1.0, 1.4, 1.4), "at most", "1.4 (1 to 1.4): **not met**"),
        ((1.0, 1.3, 9.0), "at least", "1.3 (1 to 9): met"),
        ((1.0, 1.2, 9.0), "at least", "1.2 (1 to 9): **not met**"),
    ],
)
def test_a_target_is_met_or_not_by_the_median(
    values: tuple[float, ...],
    bound: Literal["at most", "at least"],
    verdict: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = Target("as fast as that", "work", "factor", bound, 1.3)
    monkeypatch.setattr("benchmarks.summary.TARGETS", (target,))
    row = Row(measure="factor", label="", unit="x", backend="valkey-9.1", values=values)
    section = Section(workload="work", title="Work", method="", rows=(row,))
    found = Results(
        machine={}, backends={"valkey-9.1": ""}, repetitions=3, scale=1, sections=(section,)
    )
    assert f"| as fast as that | {bound} 1.3 | {verdict} |" in markdown(found)


def test_the_page_says_what_everybody_else_does_not_do() -> None:
    page = PAGE.read_text()
    for kind in ALTERNATIVES:
        if not kind.label.startswith(("redisstore", "limit")):
            assert f"| {kind.label.replace(' (asyncio)', '')} |" in page


def test_the_page_shows_the_published_run_at_full_size() -> None:
    published = Results.load(PUBLISHED)
    assert published.scale == 1
    assert [section.workload for section in published.sections] == [one.name for one in WORKLOADS]
    assert markdown(published) in PAGE.read_text()
    for plot in plots(published):
        assert (PAGE.parent / "plots" / f"{plot.name}.svg").read_text() == plot.svg
