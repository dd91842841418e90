"""Carrying sessions over by file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redisstore import SessionStore
from tests.cli.material import Run, document, lines, source


def test_what_is_exported_can_be_imported_elsewhere(
    store: SessionStore, run: Run, tmp_path: Path
) -> None:
    store.get_or_create_session(source("42"))
    file = str(tmp_path / "sessions.json")
    assert (
        f"sessions written to {file}: 1\n" == run("export", file, "--timezone", "Asia/Tokyo").stdout
    )
    into = ("import", file, "--timezone", "Asia/Tokyo", "--namespace", "other")
    assert document(run(*into, "--json"))["created"] == 1
    assert "as new or newer in the store: 1" in run(*into).stdout
    (there,) = lines(run("list", "--json", "--namespace", "other"))
    (here,) = lines(run("list", "--json"))
    assert there["session_id"] == here["session_id"]
    assert there["updated_at"] == here["updated_at"]


def test_bad_rows_are_listed_one_by_one_and_the_others_imported(
    store: SessionStore, run: Run, tmp_path: Path
) -> None:
    store.get_or_create_session(source("42"))
    file = tmp_path / "sessions.json"
    run("export", str(file), "--timezone", "UTC")
    rows = json.loads(file.read_text("utf-8"))
    rows |= {"bad[red]\n1": "no object", "bad2": {"session_id": 7}}
    file.write_text(json.dumps(rows), "utf-8")
    into = ("import", str(file), "--timezone", "UTC", "--namespace", "other", "--json")
    result = run(*into)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 2
    assert "left out bad[red]\\n1: " in result.stderr
    assert "left out bad2: " in result.stderr
    report = document(result)
    assert (report["created"], len(report["bad"]), report["total"]) == (1, 2, 3)


@pytest.mark.parametrize("command", ["import", "export"])
@pytest.mark.parametrize("options", [(), ("--timezone", "Nowhere/Town"), ("--timezone", "")])
def test_the_time_zone_of_a_file_has_to_be_named(
    run: Run, tmp_path: Path, command: str, options: tuple[str, ...]
) -> None:
    file = tmp_path / "sessions.json"
    result = run(command, str(file), *options)
    assert result.exit_code == 2
    assert "--timezone" in result.stderr
    assert not file.exists()


def test_a_file_that_is_not_there_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    result = run("import", str(tmp_path / "none.json"), "--timezone", "UTC")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert run("export", "-", "--timezone", "UTC").exit_code == 2
