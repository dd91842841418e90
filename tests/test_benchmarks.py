"""The benchmarks run, report every row they promise, and the page shows the published run."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.results import Results
from benchmarks.tables import BEGIN, END, markdown, write_markdown
from benchmarks.workloads import WORKLOADS
from tests.servers import available, missing

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "benchmarks" / "results.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    page = folder / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return folder


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    """What a tiny run of everything on one server prints; its files are in the folder."""
    if not available():
        missing("there is no server binary")
    size = ["--quick", "--scale", "0.002", "--backend", available()[0].name]
    files = ["--json", str(folder / "results.json"), "--markdown", str(folder / "page.md")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *size, *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_measure_of_every_workload_is_printed(printed: str) -> None:
    for workload in WORKLOADS:
        assert workload.title in printed
        for measure in workload.measures:
            assert f"{measure.label}, {measure.unit} " in printed


@pytest.mark.usefixtures("printed")
def test_the_results_file_holds_a_value_for_each_repetition(folder: Path) -> None:
    results = Results.load(folder / "results.json")
    assert results.repetitions == 2
    assert [section.workload for section in results.sections] == [one.name for one in WORKLOADS]
    for workload, section in zip(WORKLOADS, results.sections, strict=True):
        backend = available()[0].name if workload.uses_server else ""
        for measure in workload.measures:
            values = section.row(measure.name, backend).values
            assert len(values) == 2
            assert all(math.isfinite(value) for value in values)


@pytest.mark.usefixtures("printed")
def test_a_small_sweep_looks_at_each_entry_once(folder: Path) -> None:
    results = Results.load(folder / "results.json")
    for section in results.sections[:2]:
        assert section.row("scanned", available()[0].name).values == (400, 400)


@pytest.mark.usefixtures("printed")
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


def test_the_page_shows_the_published_run_at_full_size() -> None:
    published = Results.load(PUBLISHED)
    assert published.scale == 1
    assert [section.workload for section in published.sections] == [one.name for one in WORKLOADS]
    assert markdown(published) in (ROOT / "docs" / "benchmarks.md").read_text()
