"""Looking after the store as a whole, and after the embedded server."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import redis

from redisstore import SessionStore
from redisstore.cli.output import escaped
from tests.cli.material import KEY, LONG_AGO, STRANGE, Run, document, put, source


def test_stats_count_the_sessions_and_name_the_server(store: SessionStore, run: Run) -> None:
    put(store, "old", LONG_AGO)
    store.get_or_create_session(source("42"))
    store.take_hold(KEY, "cron-1")
    found = document(run("stats", "--json"))
    assert (found["sessions"], found["active"], found["partitions"]) == (2, 1, 1)
    assert found["oldest"] == "2020-01-01T00:00:00Z"
    (server,) = found["servers"]
    assert (server["product"], server["role"]) == ("Valkey", "master")
    for_people = run("stats").stdout
    assert "Valkey 9.1" in for_people
    assert "2020-01-01 00:00:00 UTC" in for_people


def test_stats_go_without_what_the_server_does_not_tell(run: Run) -> None:
    result = run("stats", "--json", url="memory:")
    assert result.exit_code == 0
    (server,) = document(result)["servers"]
    assert "refused" in server["error"]


def test_prune_removes_what_is_old_and_reports_what_was_kept_and_why(
    store: SessionStore, run: Run
) -> None:
    put(store, "old", LONG_AGO)
    put(store, "kept", LONG_AGO, suspended=True)
    put(store, "young", LONG_AGO + timedelta(days=2))
    before = ("--before", "2020-01-02T00:00:00+00:00")
    dry = run("prune", *before, "--dry-run")
    assert dry.stdout.splitlines()[0] == "old"
    assert "sessions to remove: 1," in dry.stdout
    dry_report = document(run("prune", *before, "--dry-run", "--json"))
    assert (dry_report["keys"], dry_report["dry_run"]) == (["old"], True)
    assert store.count_sessions() == 3
    report = document(run("prune", *before, "--json"))
    assert (report["removed"], report["cutoff"]) == (1, "2020-01-02T00:00:00Z")
    assert report["kept"] == {"suspended": 1, "active": 0, "running": 0, "damaged": 0}
    assert store.count_sessions() == 2
    assert "sessions removed: 1," in run("prune", "--max-age-days", "90").stdout


def test_prune_that_is_switched_off_says_so(store: SessionStore, run: Run) -> None:
    put(store, "old", LONG_AGO)
    result = run("prune", "--max-age-days", "0")
    assert result.exit_code == 0
    assert "switched off" in result.stdout
    assert store.count_sessions() == 1


@pytest.mark.parametrize(
    ("options", "right"),
    [
        (("--before", "2026-08-24T12:00:00"), "2026-08-24T12:00:00+00:00"),
        (("--before", "2026-08-24"), "2026-08-24T00:00:00+00:00"),
        (("--before", "yesterday"), "2026-08-24T12:00:00+00:00"),
        (("--before", "2926-08-24T12:00:00Z"), "still to come"),
        (("--before", "2926-08-24T12:00:00Z", "--dry-run"), "still to come"),
        (("--before", "2026-08-24T12:00:00Z", "--max-age-days", "3"), "one of them"),
        (("--max-age-days", "nan"), "number of days"),
        (("--max-age-days", "many"), "valid number"),
    ],
)
def test_a_wrong_cutoff_is_wrong_usage_and_removes_nothing(
    store: SessionStore, run: Run, options: tuple[str, ...], right: str
) -> None:
    put(store, "old", LONG_AGO)
    result = run("prune", *options)
    assert result.exit_code == 2
    assert right in result.stderr
    assert store.count_sessions() == 1


def test_doctor_finds_faults_repairs_them_and_tells_by_its_status(
    store: SessionStore, run: Run, client: redis.Redis
) -> None:
    store.get_or_create_session(source("42"))
    assert run("doctor").exit_code == 0
    client.zadd("{redisstore}:updated_at", {STRANGE: 1})
    sick = run("doctor")
    assert sick.exit_code == 1
    assert f"{escaped(STRANGE)} has no entry" in sick.stdout
    assert "--repair" in sick.stdout
    report = document(run("doctor", "--json"))
    assert report["faults"] == 1
    (fault,) = (one for one in report["findings"] if one["severity"] == "fault")
    assert fault["check"] == "invariants"
    assert run("doctor", "--repair").exit_code == 0
    assert run("doctor").exit_code == 0


def test_the_embedded_server_is_started_used_and_stopped(run: Run, tmp_path: Path) -> None:
    directory = ("--directory", str(tmp_path / "a b"))
    assert run("server", "status", *directory).exit_code == 1
    assert not (tmp_path / "a b").exists()
    try:
        started = document(run("server", "start", *directory, "--appendfsync", "no", "--json"))
        assert started["running"]
        for url in (started["url"], started["socket_url"]):
            assert run("stats", "--url", url).exit_code == 0
        assert "was running already" in run("server", "start", "--url", started["url"]).stdout
        status = run("server", "status", *directory)
        assert status.exit_code == 0
        assert started["url"] in status.stdout
    finally:
        assert run("server", "stop", *directory).exit_code == 0
    assert run("server", "status", *directory).exit_code == 1
    assert "was not running" in run("server", "stop", *directory).stdout


def test_a_server_of_somebody_else_is_not_started(run: Run) -> None:
    result = run("server", "start", "--url", "redis://localhost:1")
    assert result.exit_code == 2
    assert "embedded:" in result.stderr
