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
from typing import Any, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from redisstore.config import StoreConfig
from redisstore.connect.url import parse
from redisstore.errors import InvalidInput
from redisstore.hermes.home import home_of
from redisstore.policy import SessionResetPolicy

_ON_THE_LOOP = {"deadline": 2.0, "socket_timeout": 0.5}
"""Up to 0.18 the gateway's event loop waits for its store, so that has to give up soon."""
_ZONES = "zoneinfo/"
_LONGEST_WINDOW = 31_536_000.0
_Model = TypeVar("_Model", bound=BaseSettings)


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
    zone_known: bool
    """Whether the time zone is one that somebody has set, or that the machine names."""

    @classmethod
    def of_gateway(cls, config: Any) -> Self:
        """Return the settings of the gateway in this process, with its own configuration.

        Raises:
            InvalidInput: a setting is wrong; the message names it.

        """
        loaded = importlib.import_module("hermes_cli.config").load_config() or {}
        return cls.of_section(loaded.get("redisstore"), home_of(), config)

    @classmethod
    def of_section(cls, section: object, home: Path, config: Any = None) -> Self:
        """Return the settings for what stands under ``redisstore:`` in ``config.yaml``.

        ``config``: the gateway's own; without, its reset policies are left out.

        Raises:
            InvalidInput: a setting is wrong; the message names it.

        """
        if not isinstance(section, dict | None):
            raise InvalidInput("redisstore", "must be settings by name, in config.yaml")
        given = {str(name): value for name, value in (section or {}).items()}
        own = {name: given.pop(name) for name in Options.model_fields if name in given}
        fitting = {**_of_gateway(config), **_ON_THE_LOOP, "replica": _replica(home)}
        store = _checked(StoreConfig, "REDISSTORE_", {**fitting, **given})
        options = _checked(Options, "REDISSTORE_HERMES_", own)
        if "timezone" in store.model_fields_set:
            return cls(store, options.recover, zone_known=True)
        zone = _local_zone()
        if zone is None and _resets_by_the_day(store):
            problem = "is not known of this machine: set REDISSTORE_TIMEZONE, as Europe/Berlin"
            raise InvalidInput("timezone", problem)
        store = store.model_copy(update={"timezone": zone or "UTC"})
        return cls(store, options.recover, zone_known=zone is not None)


def told_where(settings: Settings) -> str:
    """Say where the sessions are, without a password."""
    store = settings.store
    where = parse(store.url).label
    return f"redisstore: sessions live in {where}, {store.namespace}; replica {store.replica}"


def _checked(model: type[_Model], prefix: str, given: Mapping[str, Any]) -> _Model:
    """Return settings of which the environment has the last word."""
    try:
        return model(**{k: v for k, v in given.items() if f"{prefix}{k.upper()}" not in os.environ})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"])) or "redisstore"
        raise InvalidInput(name, first["msg"].removeprefix("Value error, ")) from error


def _of_gateway(config: Any) -> dict[str, Any]:
    """Return what the gateway's own configuration says."""
    found: dict[str, Any] = _window()
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


def _policy(policy: Any) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in SessionResetPolicy.model_fields}


def _window() -> dict[str, Any]:
    """Return for how long an interruption counts; all versions have that as a variable."""
    try:
        seconds = float(os.environ["HERMES_AUTO_CONTINUE_FRESHNESS"])
    except (KeyError, ValueError):
        return {}
    return {"resume_freshness_window": min(max(seconds, 0.0), _LONGEST_WINDOW)}


def _replica(home: Path) -> str:
    """Return a name for a gateway: that of its machine, and which of the homes there it has."""
    return f"{socket.gethostname():.48}-{zlib.crc32(str(home).encode()):08x}"


def _local_zone() -> str | None:
    """Return the zone of this machine, in which the gateway's days begin, if it has a name."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if not name:
        name = str(Path("/etc/localtime").resolve()).partition(_ZONES)[2]
    try:
        return str(ZoneInfo(name))
    except (KeyError, OSError, ValueError):
        return None


def _resets_by_the_day(store: StoreConfig) -> bool:
    rules = store.reset_rules
    policies = (rules.default, *rules.by_platform.values(), *rules.by_type.values())
    return any(policy.mode in {"daily", "both"} for policy in policies)
