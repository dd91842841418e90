"""Configuration: where it comes from, and that a wrong value is named."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import ValidationError

from redisstore import (
    AsyncSessionStore,
    InvalidInput,
    SessionResetPolicy,
    SessionStore,
    StoreConfig,
)
from redisstore.config import configured


def test_the_environment_configures_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDISSTORE_NAMESPACE", "from-env")
    monkeypatch.setenv("REDISSTORE_TIMEZONE", "Europe/Berlin")
    monkeypatch.setenv("REDISSTORE_DEFAULT_RESET_POLICY", '{"mode": "daily", "at_hour": 5}')
    monkeypatch.setenv("REDISSTORE_RESET_BY_PLATFORM", '{"slack": {"mode": "idle"}}')
    config = StoreConfig()
    assert config.namespace == "from-env"
    assert config.default_reset_policy == SessionResetPolicy(mode="daily", at_hour=5)
    assert config.reset_by_platform["slack"].mode == "idle"
    assert str(config.reset_rules.timezone) == "Europe/Berlin"


def test_arguments_go_before_the_configuration_and_that_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDISSTORE_NAMESPACE", "from-env")
    monkeypatch.setenv("REDISSTORE_URL", "memory:")
    assert SessionStore.from_url().config.namespace == "from-env"
    given = StoreConfig(namespace="from-config")
    assert configured(given).namespace == "from-config"
    assert configured(given, namespace="from-argument").namespace == "from-argument"
    assert configured(given).url == "memory:"


class Extended(StoreConfig):
    greeting: str = "hello"


@pytest.mark.parametrize("face", [SessionStore, AsyncSessionStore])
def test_one_that_was_made_asks_the_environment_no_more(
    face: type[SessionStore | AsyncSessionStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Extended(url="memory:", greeting="moin")
    monkeypatch.setenv("REDISSTORE_NAMESPACE", "from-env")
    monkeypatch.setenv("REDISSTORE_DEADLINE", "1.5")
    assert face.from_url(config=given).config == given
    changed = face.from_url(config=given, namespace="from-argument").config
    assert changed == given.model_copy(update={"namespace": "from-argument"})
    assert changed.model_fields_set == {"url", "namespace", "greeting"}


def test_a_copy_has_the_reset_rules_of_its_own_settings() -> None:
    config = StoreConfig()
    assert str(config.reset_rules.timezone) == "UTC"
    copied = config.model_copy(update={"timezone": "Europe/Berlin"})
    assert str(copied.reset_rules.timezone) == "Europe/Berlin"
    assert str(config.reset_rules.timezone) == "UTC"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("namespace", "two words"),
        ("namespace", ""),
        ("partitions", 0),
        ("partitions", 1000),
        ("replica", ""),
        ("replica", "\ud800"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../etc/passwd"),
        ("process_hold_ttl", 0),
        ("process_hold_ttl", 7200),
        ("deadline", -1),
        ("deadline", float("nan")),
        ("resume_freshness_window", -1),
        ("prune_batch_size", 0),
        ("max_connections", 0),
        ("default_reset_policy", {"mode": "weekly"}),
        ("reset_by_type", {"dm": {"at_hour": 24}}),
        ("no_such_setting", 1),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        StoreConfig.model_validate({name: value})
    assert refused.value.errors()[0]["loc"][0] == name


@pytest.mark.parametrize("name", ["default_reset_policy", "reset_by_platform", "reset_by_type"])
def test_a_variable_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"REDISSTORE_{name.upper()}", "daily")
    with pytest.raises(ValidationError) as refused:
        StoreConfig()
    (error,) = refused.value.errors()
    assert error["loc"] == (name,)
    with pytest.raises(InvalidInput, match=f"^{name}: .* JSON"):
        SessionStore.from_url("memory:")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("grp", "group"), ("Channel", "channel"), ("treads", "thread"), ("forum", ""), ("dm", "")],
)
def test_a_misspelt_chat_type_is_not_passed_over_in_silence(
    caplog: pytest.LogCaptureFixture, name: str, meant: str
) -> None:
    with caplog.at_level(logging.WARNING):
        StoreConfig(reset_by_type={name: SessionResetPolicy(mode="daily")})
    assert (f"is it {meant}?" in caplog.text) == bool(meant)
    assert len(caplog.records) == bool(meant)


def test_a_wrong_argument_is_named() -> None:
    with pytest.raises(InvalidInput, match="namespace"):
        SessionStore.from_url("memory:", namespace="two words")
    with pytest.raises(InvalidInput, match="partitions"):
        SessionStore.from_url("memory:", partitions=0)
    url: Any = b"redis://:secret@host"
    for config in (None, StoreConfig()):
        with pytest.raises(InvalidInput, match=r"^url: must be text, not bytes$"):
            SessionStore.from_url(url, config=config)


@pytest.mark.parametrize("value", ["ninety", None, [90], True, 0.5, float("inf"), ""])
def test_an_age_of_a_bad_type_falls_back_to_ninety_days(
    value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert StoreConfig(session_store_max_age_days=value).session_store_max_age_days == 90
    assert "session_store_max_age_days" in caplog.text


@pytest.mark.parametrize(("value", "days"), [("30", 30), (0, 0), (-1, -1), (3650, 3650)])
def test_an_age_that_is_a_number_is_taken(value: Any, days: int) -> None:
    assert StoreConfig(session_store_max_age_days=value).session_store_max_age_days == days


def test_a_misspelt_variable_is_not_passed_over_in_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REDISSTORE_NAMESPCE", "gateway")
    with caplog.at_level(logging.WARNING):
        config = StoreConfig(url="memory:")
    assert "REDISSTORE_NAMESPCE: there is no such setting" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        SessionStore.from_url(config=config).close()
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        SessionStore.from_url("memory:").close()
    assert len(caplog.records) == 1


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError):
        StoreConfig().namespace = "other"
