"""The settings of a gateway's plugin: which count, and which keep it from starting."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from redisstore import SessionResetPolicy
from redisstore.doctor import Finding
from redisstore.errors import InvalidInput, StoreUnavailable
from redisstore.hermes.examination import examine_gateway
from redisstore.hermes.settings import Settings
from tests.cli.homes import ENABLED, configure, faults, found, label, only
from tests.servers import Server


@pytest.mark.usefixtures("gateway_environment")
@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("redis://localhost", "redisstore: must be settings by name, in config.yaml"),
        ({"urll": "redis://localhost"}, "urll: "),
        ({"timezone": "Europe/Bonn"}, "timezone: "),
        ({"recover": "perhaps"}, "recover: "),
        ({"url": "http://localhost"}, "url: "),
        ({7: 7}, "7: "),
    ],
)
def test_a_wrong_setting_is_a_fault_that_names_it(
    home: Path, section: object, message: str
) -> None:
    configure(home, **ENABLED, redisstore=section)
    (fault,) = faults(home)
    assert fault.startswith(message)


@pytest.mark.usefixtures("gateway_environment")
def test_a_configuration_may_name_variables_of_the_home_and_no_password_is_told(
    home: Path, server: Server
) -> None:
    configure(home, **ENABLED, redisstore={"url": "${STORE}", "replica": "${NONE}"})
    (home / ".env").write_text(f"STORE={server.url()}\n")
    assert f"{label(server)}, redisstore; replica ${{NONE}}" in only(home, "settings").message
    (home / ".env").write_text("STORE=redis://me:secret@127.0.0.1:1/0\n")
    findings: list[Finding] = []
    with pytest.raises(StoreUnavailable):
        findings.extend(examine_gateway(home))
    assert findings[-1].check == "redis"
    assert "secret" not in str(findings)


@pytest.mark.usefixtures("gateway_environment")
def test_homes_on_one_machine_have_replica_names_of_their_own(
    home: Path, server: Server, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    names = []
    for directory in (home, other):
        configure(directory, **ENABLED, redisstore={"url": server.url()})
        names.append(only(directory, "settings").message.split("; ")[1])
    assert names[0] != names[1]
    assert all(name.startswith(f"replica {socket.gethostname():.48}-") for name in names)


@pytest.mark.usefixtures("gateway_environment")
def test_a_machine_without_a_named_time_zone_is_a_warning_unless_one_is_set(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "XYZ-3")
    told, warning = found(home, "settings")
    assert told.message.endswith("days begin in UTC")
    assert warning.severity == "warning"
    (home / ".env").write_text("REDISSTORE_TIMEZONE=Asia/Tokyo\n")
    assert only(home, "settings").message.endswith("days begin in Asia/Tokyo")


@pytest.mark.usefixtures("gateway_environment")
def test_what_only_this_shell_sets_is_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDISSTORE_NAMESPACE", "elsewhere")
    told, warning = found(home, "settings")
    assert ", elsewhere; " in told.message
    assert warning.severity == "warning"
    assert "REDISSTORE_NAMESPACE" in warning.message


@pytest.mark.usefixtures("home")
def test_what_the_gateway_itself_is_set_to_counts_unless_it_is_set_for_the_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = SimpleNamespace(mode="daily", at_hour=5, idle_minutes=60, notify=True)
    own = SimpleNamespace(default_reset_policy=policy, session_store_max_age_days=30)
    monkeypatch.setenv("HERMES_AUTO_CONTINUE_FRESHNESS", "-1")
    section = {"session_store_max_age_days": 7, "recover": True}
    settings = Settings.of_section(section, tmp_path, own)
    assert settings.recover
    assert settings.store.default_reset_policy == SessionResetPolicy(
        mode="daily", at_hour=5, idle_minutes=60
    )
    assert settings.store.session_store_max_age_days == 7
    assert settings.store.resume_freshness_window == 0
    assert (settings.store.deadline, settings.store.socket_timeout) == (2.0, 0.5)

    policy.mode = "weekly"
    with pytest.raises(InvalidInput, match="default_reset_policy"):
        Settings.of_section({}, tmp_path, own)


@pytest.mark.usefixtures("home")
def test_a_gateway_that_resets_by_the_day_needs_to_know_its_time_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "XYZ-3")
    policy = SimpleNamespace(mode="both", at_hour=4, idle_minutes=60)
    own = SimpleNamespace(default_reset_policy=policy)
    with pytest.raises(InvalidInput, match="REDISSTORE_TIMEZONE"):
        Settings.of_section({}, tmp_path, own)
    assert Settings.of_section({"timezone": "UTC"}, tmp_path, own).zone_known
    policy.mode = "idle"
    assert not Settings.of_section({}, tmp_path, own).zone_known


@pytest.mark.usefixtures("home")
def test_a_variable_of_the_plugin_wins_and_is_not_taken_for_a_misspelt_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REDISSTORE_HERMES_RECOVER", "true")
    assert Settings.of_section({"recover": False}, tmp_path).recover
    assert "no such setting" not in caplog.text
