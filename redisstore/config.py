"""Configuration: arguments, else ``REDISSTORE_*`` from the environment, else the defaults."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from redisstore.errors import InvalidInput, RedisStoreError, short_repr
from redisstore.keys import check_namespace, check_partitions
from redisstore.policy import ResetRules, SessionResetPolicy
from redisstore.text import Text, checked_text

DEFAULT_MAX_AGE_DAYS = 90
_MOST_DAYS = 1_000_000
"""All that is more comes to the same: nothing is that old."""

LONGEST_HOLD_TTL = 3600.0
"""Seconds. The scripts know it too: a hold that lapses later shows that the clock was set back."""

LONGEST_LEASE_TTL = 300.0
"""Seconds. The scripts know it too."""

FURTHEST_LEASE = LONGEST_LEASE_TTL + 300.0
"""Seconds. A lease that lapses later counts as lapsed, in the scripts too: a clock was set back."""

LARGEST_ENTRY = 131_072
"""Bytes. An import takes up to twice as much, and Lua hands at most some 7,990 values to a command.

A piece of a long text has at least 61 bytes (64, less a character that would be cut), and a name of
at least 9 (``user_id 2``): 2 * 131,072 / 70 * 2 values are 7,490, and the 54 known fields have 108.
"""

_OF_THE_PLUGIN = "hermes_"
"""How the settings begin that the plugin for hermes-agent reads beside these."""
_CHAT_TYPES = ("dm", "group", "channel", "thread")
"""Those that all platforms have; one may have words of its own."""
_log = logging.getLogger(__name__)


class _Environment(EnvSettingsSource):
    """The variables; what is no JSON is left to the check of its setting, which names it."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ANN401 - pydantic's
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _hostname() -> str:
    return socket.gethostname() or "replica"


class StoreConfig(BaseSettings):
    """All settings of a store. Times are in seconds, sizes in bytes.

    Each can come from the environment, mappings as JSON::

        REDISSTORE_URL=redis://localhost:6379/0
        REDISSTORE_DEFAULT_RESET_POLICY='{"mode": "daily", "at_hour": 4}'

    Raises:
        pydantic.ValidationError: a ``ValueError`` that names each setting that is wrong.

    """

    model_config = SettingsConfigDict(env_prefix="REDISSTORE_", frozen=True, extra="forbid")

    url: Annotated[str, Field(repr=False)] = "redis://localhost:6379/0"
    namespace: str = "redisstore"
    partitions: int | None = None
    """``None``: as stored; for a new store 1, on Cluster 64. A number must match what is stored."""
    replica: Annotated[Text, Field(min_length=1, max_length=64)] = Field(default_factory=_hostname)
    """A name that this gateway process keeps over a restart and shares with no other."""

    timezone: str = "UTC"
    default_reset_policy: SessionResetPolicy = SessionResetPolicy()
    reset_by_platform: dict[str, SessionResetPolicy] = {}
    reset_by_type: dict[str, SessionResetPolicy] = {}
    resume_freshness_window: Annotated[float, Field(ge=0, le=31_536_000)] = 3600.0
    """How long an interrupted session stays resumable; 0: for ever."""
    group_sessions_per_user: bool = True
    thread_sessions_per_user: bool = False

    session_store_max_age_days: int = DEFAULT_MAX_AGE_DAYS
    """Days without activity after which a prune removes an entry; 0 or less: never."""
    prune_batch_size: Annotated[int, Field(ge=1, le=1000)] = 15
    list_page_size: Annotated[int, Field(ge=1, le=1000)] = 50
    process_hold_ttl: Annotated[float, Field(ge=1, le=LONGEST_HOLD_TTL)] = 120.0

    turn_lease_ttl: Annotated[float, Field(ge=1, le=LONGEST_LEASE_TTL)] = 30.0
    """How long a turn outlives its replica; renewed at a third."""
    turn_wait: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """How long a turn waits for the one before it; 0: not at all."""
    turn_queue_limit: Annotated[int, Field(ge=1, le=1000)] = 64
    """How many turns may wait for one session."""
    max_waits: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """How many turns of this process may wait at once; each takes a connection."""
    message_id_ttl: Annotated[float, Field(ge=1, le=31_536_000)] = 86_400.0
    """How long a message that was handled is known."""
    suspend_after_interruptions: Annotated[int, Field(ge=0, le=1000)] = 3
    """So many turns in a row that were lost suspend a session; 0: never."""
    heartbeat_ttl: Annotated[float, Field(ge=1, le=3600)] = 15.0
    """How long a replica counts as alive after a heartbeat; one is sent every third of it."""
    job_lease_ttl: Annotated[float, Field(ge=1, le=LONGEST_LEASE_TTL)] = 30.0
    """How long a maintenance job outlives its replica; renewed between its steps."""
    finalize_claim_ttl: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """How long a replica has an expired session to itself; renewed at a third."""
    finalize_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """So often finalizing an expired session is tried before it is marked with the error."""
    events_kept: Annotated[int, Field(ge=100, le=10_000_000)] = 10_000
    """About so many events stay in each partition's stream; fixed when the store is laid out."""

    deadline: Annotated[float, Field(ge=0.1, le=300)] = 5.0
    """How long a call may take with all its retries."""
    socket_timeout: Annotated[float, Field(ge=0.05, le=60)] = 2.0
    """How long one attempt waits for the connection, and then for the reply."""
    max_connections: Annotated[int, Field(ge=1, le=10_000)] = 50

    max_key_bytes: Annotated[int, Field(ge=64, le=65_536)] = 1024
    max_entry_bytes: Annotated[int, Field(ge=1024, le=LARGEST_ENTRY)] = 16_384

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - which _Environment stands for
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where settings come from, first the one that wins."""
        return init_settings, _Environment(settings_cls), dotenv_settings, file_secret_settings

    @field_validator("default_reset_policy", "reset_by_platform", "reset_by_type", mode="before")
    @classmethod
    def _no_text(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - whatever is given
        if isinstance(value, str):
            right = '{"mode": "daily"}'
            if info.field_name != "default_reset_policy":
                right = f'{{"name": {right}}}'
            raise ValueError(f"in the environment it is written as JSON: {right}")  # noqa: TRY004 - pydantic collects ValueError
        return value

    @field_validator("session_store_max_age_days", mode="before")
    @classmethod
    def _age_or_default(cls, value: Any) -> int:  # noqa: ANN401 - whatever a config file holds
        try:
            if isinstance(value, int | str) and not isinstance(value, bool):
                return max(min(int(value), _MOST_DAYS), -_MOST_DAYS)
        except ValueError:
            pass  # falls back below, as a value of another type does
        _log.warning(
            "session_store_max_age_days: %s is no number of days, using %d",
            short_repr(value),
            DEFAULT_MAX_AGE_DAYS,
        )
        return DEFAULT_MAX_AGE_DAYS

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(
                f"unknown time zone {name!r:.60}; use one like 'Europe/Berlin'"
            ) from error
        return name

    @field_validator("namespace", "replica", "partitions")
    @classmethod
    def _storable(cls, value: str | int | None, info: Any) -> str | int | None:  # noqa: ANN401 - pydantic's
        try:
            if info.field_name == "namespace":
                return check_namespace(value)
            if info.field_name == "replica":
                return checked_text("replica", value, max_bytes=64)
            return None if value is None else check_partitions(value)
        except RedisStoreError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _warn_of_misspelt_variables(self) -> Self:
        prefix = "REDISSTORE_"
        for name in os.environ:
            setting = name.removeprefix(prefix).lower()
            is_known = setting in _FIELDS or setting.startswith(_OF_THE_PLUGIN)
            if name.startswith(prefix) and not is_known:
                _log.warning("%s: there is no such setting, it has no effect", name)
        return self

    @model_validator(mode="after")
    def _warn_of_misspelt_chat_types(self) -> Self:
        for name in self.reset_by_type.keys() - set(_CHAT_TYPES):
            if meant := get_close_matches(name.lower(), _CHAT_TYPES, n=1):
                _log.warning("reset_by_type: %s is taken for a chat type, is it %s?", name, *meant)
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some settings put in; as in all of pydantic, these are not checked."""
        copied = super().model_copy(update=update, deep=deep)
        vars(copied).pop("reset_rules", None)  # worked out from the settings before
        return copied

    @cached_property
    def reset_rules(self) -> ResetRules:
        """The reset policies with their time zone, ready for scripts."""
        return ResetRules(
            default=self.default_reset_policy,
            by_platform=self.reset_by_platform,
            by_type=self.reset_by_type,
            timezone=ZoneInfo(self.timezone),
        )


_FIELDS = frozenset(StoreConfig.model_fields)


def configured(
    config: StoreConfig | None,
    *,
    url: str | None = None,
    namespace: str | None = None,
    partitions: int | None = None,
) -> StoreConfig:
    """Return the configuration with the given arguments put in, these checked.

    One that was made already keeps all else as it is: the environment is not asked again.

    Raises:
        InvalidInput: one of them, or a variable, is wrong; the message names it.

    """
    overrides: dict[str, Any] = {}
    if url is not None:
        overrides["url"] = _checked_url(url)
    if namespace is not None:
        overrides["namespace"] = check_namespace(namespace)
    if partitions is not None:
        overrides["partitions"] = check_partitions(partitions)
    if config is not None:
        return config.model_copy(update=overrides)
    try:
        return StoreConfig(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "environment"
        raise InvalidInput(name, first["msg"].removeprefix("Value error, ")) from error


def _checked_url(url: object) -> str:
    if not isinstance(url, str):
        # Not repeated: it may hold a password.
        raise InvalidInput("url", f"must be text, not {type(url).__name__}")
    return url
