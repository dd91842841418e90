"""Sessions in the words of the gateway, and back.

The gateway's classes are not imported here: they come with the module that the plugin is put into,
and have other fields in other versions. Its times are naive and local.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from redisstore.entry import ModelOverride, SessionEntry
from redisstore.source import SessionSource

_IDS = ("chat_id", "user_id", "thread_id", "user_id_alt", "chat_id_alt", "guild_id")
_MORE_IDS = ("parent_chat_id", "message_id", "profile")
_TEXTS = ("chat_name", "user_name", "chat_topic", "auto_thread_initial_name")
_FLAGS = ("is_bot", "auto_thread_created")
_TIMES = ("created_at", "updated_at", "last_resume_marked_at")
_AS_THEY_ARE = (
    "session_key",
    "session_id",
    "display_name",
    "chat_type",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "total_tokens",
    "last_prompt_tokens",
    "cost_status",
    "was_auto_reset",
    "auto_reset_reason",
    "reset_had_activity",
    "is_fresh_reset",
    "expiry_finalized",
    "suspended",
    "resume_pending",
    "resume_reason",
)


def to_local(moment: datetime | None) -> datetime | None:
    """Return an aware time as the gateway writes it: naive, in the zone of this machine."""
    return None if moment is None else moment.astimezone().replace(tzinfo=None)


def from_local(moment: datetime | None) -> datetime | None:
    """Return a time of the gateway's as an aware one."""
    return None if moment is None else moment.astimezone(UTC)


def to_source(origin: Any) -> SessionSource:
    """Return where a message came from; what is empty is unknown."""
    values: dict[str, Any] = {"platform": str(origin.platform.value)}
    if origin.chat_type:
        values["chat_type"] = str(origin.chat_type)
    for name in (*_IDS, *_MORE_IDS, *_TEXTS):
        value = getattr(origin, name, None)
        if value not in (None, ""):
            values[name] = str(value)
    for name in _FLAGS:
        values[name] = bool(getattr(origin, name, False))
    return SessionSource(**values)


def from_override(value: Mapping[str, Any] | None) -> ModelOverride | None:
    """Return the gateway's model override, without what else it has, and without credentials."""
    given = (
        {name: str(value[name]) for name in ModelOverride.model_fields if value.get(name)}
        if value
        else {}
    )
    if not given:
        return None
    try:
        return ModelOverride(**given)
    except ValidationError:
        if "base_url" not in given:
            raise
        return ModelOverride(**{**given, "base_url": _bare(given["base_url"])})


def _bare(url: str) -> str:
    """Return a URL without what may carry a credential: a user, a query."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=netloc, query="", fragment="").geturl()


class Converter:
    """Turns entries into the gateway's, with the classes of one version."""

    def __init__(
        self, entry_class: type[Any], source_class: type[Any], platform_class: Any
    ) -> None:
        self._platform = platform_class
        self._source = source_class
        self.fields = {field.name for field in dataclasses.fields(entry_class)}
        self._source_fields = {field.name for field in dataclasses.fields(source_class)}

    def values(self, entry: SessionEntry) -> dict[str, Any]:
        """Return the fields that the gateway's entry has."""
        values: dict[str, Any] = {name: getattr(entry, name) for name in _AS_THEY_ARE}
        values |= {name: to_local(getattr(entry, name)) for name in _TIMES}
        values["estimated_cost_usd"] = float(entry.estimated_cost_usd)
        values["platform"] = self._known(entry.platform)
        values["origin"] = self._origin(entry.origin)
        override = entry.model_override
        values["model_override"] = override.model_dump(exclude_none=True) if override else None
        return {name: value for name, value in values.items() if name in self.fields}

    def _known(self, platform: str | None) -> Any:
        if platform is None:
            return None
        try:
            return self._platform(platform)
        except ValueError:
            return None

    def _origin(self, source: SessionSource | None) -> Any:
        platform = self._known(source.platform) if source else None
        if source is None or platform is None:
            return None
        values = source.model_dump(exclude={"platform"})
        values["chat_id"] = source.chat_id or ""
        return self._source(
            platform=platform,
            **{name: value for name, value in values.items() if name in self._source_fields},
        )


def to_store(name: str, value: Any) -> Any:
    """Return the value of a field of the gateway's entry as redisstore has it."""
    if name == "last_resume_marked_at":
        return from_local(value)
    if name == "estimated_cost_usd":
        return Decimal(str(value))
    if name == "model_override":
        return from_override(value)
    return value
