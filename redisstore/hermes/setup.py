"""Whether the plugin is installed beside a gateway, and whether that would load it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from typing import Any

from redisstore.doctor import Finding

TRIED = ("0.13.0", "0.16.0", "0.18.2", "0.19.0")
"""The versions of hermes-agent that the plugin is tested with."""
_GROUP, _NAME = "hermes_agent.plugins", "redisstore"
_TRUTHS = {"1", "true", "yes", "on"}


def installed() -> Iterator[Finding]:
    """Look at this environment: the gateway's package, and the plugin's entry point."""
    try:
        version = metadata.version("hermes-agent")
    except metadata.PackageNotFoundError:
        yield Finding(
            "fault",
            "hermes-agent",
            f"is not in this environment, {sys.prefix}",
            "install redisstore into the gateway's own environment, and run its doctor there",
        )
    else:
        tried = f"tried are {', '.join(TRIED)}"
        if version in TRIED:
            yield Finding("ok", "hermes-agent", f"{version} in {sys.prefix}")
        else:
            advice = "look at docs/hermes.md, and try it before you rely on it"
            yield Finding("warning", "hermes-agent", f"{version} was not tried; {tried}", advice)
    yield _entry_point()


def _entry_point() -> Finding:
    found = metadata.entry_points(group=_GROUP, name=_NAME)
    where = f"the entry point {_GROUP}: {_NAME}"
    if not found:
        return Finding("fault", "plugin", f"{where} is missing", "install redisstore again by pip")
    try:
        register = next(iter(found)).load().register
        import_module(f"{register.__module__}.plugin")
    except Exception as error:  # noqa: BLE001 - whatever it is, the gateway swallows it
        message = f"{where} can't be imported: {type(error).__name__}: {error}"
        return Finding("fault", "plugin", message, "install redisstore again by pip")
    return Finding("ok", "plugin", f"redisstore {metadata.version(_NAME)} can be imported")


def enabled(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Look at what a home's configuration says of plugins; for that home's environment."""
    plugins = config.get("plugins")
    named = plugins if isinstance(plugins, dict) else {}
    if _NAME not in _names(named, "enabled"):
        advice = "add it: plugins: {enabled: [redisstore]}"
        message = "redisstore is not in plugins.enabled of config.yaml: the gateway uses its files"
        yield Finding("fault", "plugin", message, advice)
    elif _NAME in _names(named, "disabled"):
        message = "redisstore is in plugins.disabled of config.yaml, which wins over enabled"
        yield Finding("fault", "plugin", message, "take it out there")
    else:
        yield Finding("ok", "plugin", "redisstore is enabled in config.yaml")
    if os.environ.get("HERMES_SAFE_MODE", "").strip().lower() in _TRUTHS:
        message = "HERMES_SAFE_MODE is set: since 0.18 the gateway then loads no plugin"
        yield Finding("fault", "plugin", message, "unset it, and look into .env in the home")


def _names(plugins: Mapping[str, Any], key: str) -> list[Any]:
    found = plugins.get(key)
    return found if isinstance(found, list) else []
