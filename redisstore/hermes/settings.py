"""The plugin's settings: ``REDISSTORE_*``, then the gateway's ``config.yaml``, then what fits it.

In ``config.yaml``, under ``redisstore:``, stand the settings of ``StoreConfig`` and of ``Options``.
Reset policies are the gateway's own.
"""

from __future__ import annotations

import importlib
import os
import socket
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from pydantic_settings import BaseSettings, SettingsConfigDict

from redisstore.config import StoreConfig
from redisstore.connect.url import parse
from redisstore.errors import InvalidInput
from redisstore.policy import SessionResetPolicy

_ON_THE_LOOP = {"deadline": 2.0, "socket_timeout": 0.5}
"""Up to 0.18 the gateway's event loop waits for its store, so that has to give up soon."""
_ZONES = "zoneinfo/"


class Options(BaseSettings):
    """What is the plugin's own; as variables, ``REDISSTORE_HERMES_*``."""

    model_config = SettingsConfigDict(env_prefix="REDISSTORE_HERMES_", frozen=True)

    recover: bool = False
    """Whether a person without a session goes on with the last one in this replica's own database,
    as 0.18 and 0.19 do; with databases of their own, replicas would go on with different ones."""


@dataclass(frozen=True)
class Settings:
    """How the plugin is set up."""

    store: StoreConfig
    recover: bool

    @classmethod
    def of_gateway(cls, config: Any) -> Self:
        """Return the settings for a gateway with this configuration.

        Raises:
            ValueError: a setting is wrong; the message names it.

        """
        section = _section()
        own = {name: section.pop(name) for name in Options.model_fields if name in section}
        given = {**_of_gateway(config), **_ON_THE_LOOP, "replica": _replica(), **section}
        settings = {name: value for name, value in given.items() if not _in_environment(name)}
        store = StoreConfig(**settings)
        if "timezone" not in store.model_fields_set:
            store = store.model_copy(update={"timezone": _local_zone(store)})
        return cls(store, _options(own).recover)


def told_where(settings: Settings) -> str:
    """Say where the sessions are, without a password."""
    store = settings.store
    where = parse(store.url).label
    return f"redisstore: sessions live in {where}, {store.namespace}; replica {store.replica}"


def home() -> Path:
    """Return the gateway's home."""
    return Path(os.environ.get("HERMES_HOME") or Path.home() / ".hermes").resolve()


def _options(given: Mapping[str, Any]) -> Options:
    return Options(
        **{k: v for k, v in given.items() if f"REDISSTORE_HERMES_{k.upper()}" not in os.environ}
    )


def _in_environment(name: str) -> bool:
    return f"REDISSTORE_{name.upper()}" in os.environ


def _section() -> dict[str, Any]:
    """Return what stands under ``redisstore:`` in the gateway's configuration."""
    config = importlib.import_module("hermes_cli.config")
    section = (config.load_config() or {}).get("redisstore") or {}
    if not isinstance(section, dict):
        raise InvalidInput("redisstore", "must be settings by name, in config.yaml")
    return dict(section)


def _of_gateway(config: Any) -> dict[str, Any]:
    """Return what the gateway's own configuration says."""
    found: dict[str, Any] = {}
    if (policy := getattr(config, "default_reset_policy", None)) is not None:
        found["default_reset_policy"] = _policy(policy)
    for name in ("reset_by_platform", "reset_by_type"):
        rules = getattr(config, name, None) or {}
        found[name] = {
            str(getattr(key, "value", key)): _policy(rule) for key, rule in rules.items()
        }
    if (days := getattr(config, "session_store_max_age_days", None)) is not None:
        found["session_store_max_age_days"] = days
    return found


def _policy(policy: Any) -> SessionResetPolicy:
    return SessionResetPolicy(
        mode=policy.mode, at_hour=policy.at_hour, idle_minutes=policy.idle_minutes
    )


def _replica() -> str:
    """Return a name for this gateway: that of its machine, and which of the homes there it has."""
    return f"{socket.gethostname():.48}-{zlib.crc32(str(home()).encode()):08x}"


def _local_zone(store: StoreConfig) -> str:
    """Return the zone of this machine, in which the gateway's days begin.

    Raises:
        InvalidInput: it is not known, and a policy resets by the day.

    """
    name = os.environ.get("TZ") or ""
    if not name:
        name = str(Path("/etc/localtime").resolve()).partition(_ZONES)[2]
    try:
        return str(ZoneInfo(name))
    except (OSError, ValueError):
        rules = store.reset_rules
        policies = (rules.default, *rules.by_platform.values(), *rules.by_type.values())
        if any(policy.mode in {"daily", "both"} for policy in policies):
            raise InvalidInput(
                "timezone",
                "is not known of this machine: set REDISSTORE_TIMEZONE, as Europe/Berlin",
            ) from None
        return "UTC"
