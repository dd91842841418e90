"""Carrying sessions over by file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from redisstore import DuplicateMessage, SessionStore
from tests.cli.material import Run, document, lines, source
from tests.transfer.databases import put_table
from tests.transfer.files import GATEWAY_DATABASE, GATEWAY_SCOPE, row
from tests.transfer.files import KEY as TAKEN


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


@pytest.mark.parametrize("command", ["import", "verify", "export"])
@pytest.mark.parametrize(
    "options", [(), *(("--timezone", zone) for zone in ("Nowhere/Town", "", "CET", "EST", "GMT"))]
)
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


def test_a_database_is_imported_verified_and_exported(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    shutil.copy(GATEWAY_DATABASE, path)
    what = (str(path), "--timezone", "UTC", "--scope", GATEWAY_SCOPE)
    into = run("import", *what)
    assert "created: 600" in into.stdout
    assert f"scope: {GATEWAY_SCOPE} (rows: 600)" in into.stdout
    verified = run("verify", *what)
    assert (verified.exit_code, verified.stderr) == (0, "")
    assert "equal: 600" in verified.stdout
    assert "sessions written" in run("export", *what).stdout
    assert document(run("verify", *what, "--json"))["equal"] == 600


def test_what_differs_is_named_with_its_fields(
    store: SessionStore, run: Run, tmp_path: Path
) -> None:
    file = (str(tmp_path / "sessions.json"), "--timezone", "UTC")
    moved, changed, gone = (
        store.get_or_create_session(source(name)).session_key for name in ("1", "2", "3")
    )
    run("export", *file)
    store.update_session(moved, input_tokens=1)
    result = run("verify", *file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"newer in the store: {moved} (" in result.stdout

    store.suspend_session(changed)
    store.delete_session(gone)
    result = run("verify", *file)
    assert result.exit_code == 1
    assert f"{changed} differs: suspended: False, in the store True\n" in result.stderr
    assert f"missing in the store: {gone}\n" in result.stderr
    assert moved not in result.stderr
    report = document(run("verify", *file, "--json"))
    assert [it["key"] for it in report["differing"]] == [changed]
    assert (report["missing"], report["total"]) == ([gone], 3)


def test_a_move_to_more_partitions_takes_what_was_handled_along(
    store: SessionStore, run: Run, tmp_path: Path
) -> None:
    file = (str(tmp_path / "all.json"), "--timezone", "Europe/Berlin")
    new = ("--namespace", "moved", "--json")
    with store.turn(source("42"), "m-done") as turn:
        pass
    key = turn.session_key
    many = [f"m-{number:02}" for number in range(30)]
    for message_id in many:
        assert store.take_message(key, message_id)
    run("export", *file)
    config = store.config.model_copy(update={"namespace": "moved", "partitions": 4})
    with SessionStore.from_url(config=config) as moved:
        (entry,) = store.list_sessions()
        assert [verdict for _, verdict in moved.import_sessions([entry])] == ["created"]
        report = document(run("verify", *file, *new))
        assert len(report["differing"][0]["fields"]) == 31
        result = run("verify", *file, "--namespace", "moved")
        assert result.exit_code == 1
        assert f"{key} differs: handled_messages.m-" in result.stderr
        assert "; and 11 more\n" in result.stderr
        assert document(run("import", *file, *new))["kept"] == 1
        assert document(run("verify", *file, *new))["equal"] == 1
        for message_id in ("m-done", *many):
            with pytest.raises(DuplicateMessage), moved.turn(source("42"), message_id):
                pass


def test_lanes_of_several_gateways_are_told(run: Run, tmp_path: Path) -> None:
    path = put_table(tmp_path / "state.db", {TAKEN: row(session_id="old")}, "/a")
    put_table(path, {TAKEN: row(session_id="new", updated_at="2026-01-09T00:00:00")}, "/b")
    result = run("import", str(path), "--timezone", "UTC")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "passed over: 1" in result.stdout
    assert f"passed over {TAKEN}: was active until 2026-01-02 10:00:00 UTC" in result.stdout


def test_a_scope_that_fits_nothing_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    for command, path in (
        ("import", GATEWAY_DATABASE),
        ("verify", GATEWAY_DATABASE),
        ("export", tmp_path / "sessions.json"),
    ):
        result = run(command, str(path), "--timezone", "UTC", "--scope", "/nowhere")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert run("export", str(tmp_path / "x.db"), "--timezone", "UTC").exit_code == 2
    assert not list(tmp_path.iterdir())
