"""The doctor of a gateway's plugin, without a gateway: whatever keeps it from working is named."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from redisstore import SessionStore, StoreConfig
from redisstore.doctor import Finding
from redisstore.hermes.examination import examine_gateway
from redisstore.transfer import import_file
from tests.cli.homes import configure, faults, install, label, only
from tests.cli.material import Run, document
from tests.commands import ROOT
from tests.servers import Server, wait_until

GATEWAY = ROOT / "tests" / "data" / "hermes-0.19"


@pytest.mark.usefixtures("gateway_environment")
def test_a_gateway_that_is_set_up_has_no_fault_and_is_told_where_its_sessions_live(
    home: Path, server: Server, run: Run
) -> None:
    result = run("doctor", "--hermes", "--home", str(home), "--json", url="redis://127.0.0.1:1")
    # REDISSTORE_URL of this shell wins over config.yaml, here as in the gateway.
    assert result.exit_code == 3
    (home / ".env").write_text(f"REDISSTORE_URL={server.url()}\n")
    result = run("doctor", "--hermes", "--home", str(home), "--json", url="redis://127.0.0.1:1")
    assert result.exit_code == 0
    told = document(result)
    assert told["faults"] == 0
    messages = {one["check"]: one["message"] for one in told["findings"]}
    assert messages["home"] == str(home)
    assert messages["hermes-agent"].startswith("0.19.0 in ")
    assert messages["settings"] == (
        f"sessions live in {label(server)}, redisstore; replica one; days begin in Europe/Berlin"
    )
    assert messages["layout"] == "there is no store in namespace redisstore"
    assert [one["check"] for one in told["findings"] if one["severity"] == "warning"] == ["layout"]
    assert messages["gateway"] == "does not run: no replica one is alive"


def test_the_home_is_that_of_the_environment_unless_one_is_given(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERMES_HOME", str(home))
    assert next(examine_gateway()) == Finding("ok", "home", str(home))
    (missing,) = examine_gateway(home / "nothing")
    assert (missing.severity, missing.check) == ("fault", "home")
    monkeypatch.delenv("HERMES_HOME")
    monkeypatch.setenv("HOME", str(home))
    (missing,) = examine_gateway()
    assert missing.message.startswith(str(home / ".hermes"))


def test_without_the_gateways_packages_what_can_be_told_is_told(home: Path) -> None:
    findings = list(examine_gateway(home))
    assert [(one.severity, one.check) for one in findings] == [
        ("ok", "home"),
        ("fault", "hermes-agent"),
        ("ok", "plugin"),
        ("fault", "config"),
    ]
    assert sys.prefix in findings[1].message
    assert "PyYAML" in findings[3].message


def test_a_version_that_was_not_tried_is_a_warning(home: Path, gateway_environment: Path) -> None:
    install(gateway_environment, "0.20.0")
    finding = only(home, "hermes-agent")
    assert finding.severity == "warning"
    assert finding.message.startswith("0.20.0 was not tried")


@pytest.mark.usefixtures("gateway_environment")
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "not in plugins.enabled"),
        ({"plugins": None}, "not in plugins.enabled"),
        ({"plugins": {"enabled": "redisstore"}}, "not in plugins.enabled"),
        ({"plugins": {"enabled": ["redisstore"], "disabled": ["redisstore"]}}, "plugins.disabled"),
    ],
)
def test_a_plugin_that_the_gateway_would_not_load_is_a_fault(
    home: Path, server: Server, config: dict[str, Any], message: str
) -> None:
    configure(home, **config, redisstore={"url": server.url()})
    (fault,) = faults(home)
    assert message in fault


@pytest.mark.usefixtures("gateway_environment")
def test_safe_mode_is_a_fault_also_where_only_the_home_sets_it(home: Path) -> None:
    (home / ".env").write_text("HERMES_SAFE_MODE=1\n")
    (fault,) = faults(home)
    assert "HERMES_SAFE_MODE" in fault
    assert "HERMES_SAFE_MODE" not in os.environ


@pytest.mark.usefixtures("gateway_environment")
@pytest.mark.parametrize(
    ("text", "problem"),
    [("{", "can't be read"), ("[]", "is not made of settings by name")],
)
def test_a_configuration_that_is_none_is_a_fault(home: Path, text: str, problem: str) -> None:
    (home / "config.yaml").write_text(text)
    (fault,) = faults(home)
    assert fault.startswith(f"config.yaml: {problem}")


@pytest.mark.usefixtures("gateway_environment")
def test_another_layout_is_a_fault(home: Path, client: redis.Redis) -> None:
    client.hset("{redisstore}:meta", mapping={"layout": "99", "partitions": "1"})
    (fault,) = faults(home)
    assert "layout 99" in fault


@contextmanager
def beating(server: Server, replica: str) -> Iterator[None]:
    """This process as a replica that is alive."""
    config = StoreConfig(replica=replica)
    with SessionStore.from_url(server.url(), config=config) as store, store.maintenance():
        wait_until(lambda: any(one.alive for one in store.list_replicas()), message="a heartbeat")
        yield


@pytest.mark.usefixtures("gateway_environment")
def test_a_gateway_that_runs_is_told_from_one_that_does_not_use_the_store(
    home: Path, server: Server
) -> None:
    (home / "gateway.pid").write_text(json.dumps({"pid": os.getpid(), "kind": "hermes-gateway"}))
    silent = only(home, "gateway")
    assert silent.severity == "fault"
    assert (
        f"process {os.getpid()} is the gateway of this home, but no replica one" in silent.message
    )

    with beating(server, "one"):
        alive = only(home, "gateway")
        assert alive.severity == "ok"
        assert f"replica one is alive: process {os.getpid()}" in alive.message


@pytest.mark.usefixtures("gateway_environment")
def test_a_process_that_has_ended_is_no_gateway(home: Path) -> None:
    started_otherwise = {"pid": os.getpid(), "start_time": 1}
    for noted in (started_otherwise, {"pid": 2**22 + 1}, {"pid": "x"}, 0, "torn {"):
        (home / "gateway.pid").write_text(noted if isinstance(noted, str) else json.dumps(noted))
        assert only(home, "gateway").message == "does not run: no replica one is alive"


@pytest.mark.usefixtures("gateway_environment")
def test_two_homes_with_one_replica_name_are_a_fault(home: Path, server: Server) -> None:
    with beating(server, "one"):
        # This process is the gateway of another home.
        fault = only(home, "gateway")
    assert fault.severity == "fault"
    assert "two of them have one name" in fault.message


@pytest.mark.usefixtures("gateway_environment")
def test_transcripts_of_its_own_are_a_warning_where_there_are_other_replicas(
    home: Path, server: Server, tmp_path: Path
) -> None:
    assert only(home, "transcripts").severity == "ok"
    with beating(server, "two"):
        warning = only(home, "transcripts")
        assert warning.severity == "warning"
        assert "if two does not link to it" in warning.message
        (home / "state.db").symlink_to(tmp_path / "state.db")
        assert only(home, "transcripts").message == f"in {tmp_path / 'state.db'}, by a link"


@pytest.mark.usefixtures("gateway_environment")
def test_sessions_that_were_not_taken_in_are_a_warning_until_they_are(
    home: Path, store: SessionStore
) -> None:
    assert only(home, "index").message == "the gateway has none of its own"
    shutil.copy(GATEWAY / "state.db", home)
    warning = only(home, "index")
    assert warning.severity == "warning"
    assert "lacks 600 sessions, and has 0 as they were earlier" in warning.message
    assert f"redisstore import {home} --timezone Europe/Berlin" in warning.advice

    import_file(store, home, zone="Europe/Berlin")
    assert only(home, "index").severity == "ok"


@pytest.mark.usefixtures("gateway_environment")
def test_an_index_that_can_t_be_read_is_a_warning(home: Path) -> None:
    (home / "state.db").write_text("no database at all")
    warning = only(home, "index")
    assert warning.severity == "warning"
    assert "can't be compared" in warning.message


def test_options_that_do_not_go_together_are_refused(run: Run, home: Path) -> None:
    for wrong in (
        ("doctor", "--home", str(home)),
        ("doctor", "--hermes", "--namespace", "other"),
        ("--url", "memory:", "doctor", "--hermes"),
    ):
        assert run(*wrong).exit_code == 2
