"""What is stored for a session key: the entry, its model override, and how each is read."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, field_validator

from redisstore.keys import SessionId, SessionKey
from redisstore.source import SessionSource
from redisstore.text import Identifier

_SECRET_WORDS = ("key", "token", "secret", "password", "passwd", "auth", "credential", "signature")


class ModelOverride(BaseModel):
    """The model that a session uses instead of the gateway's default. Never a credential.

    Raises:
        pydantic.ValidationError: a field besides these three, or a URL that carries a user name,
            a password or a query parameter that looks like a secret.

    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: Identifier | None = None
    provider: Identifier | None = None
    base_url: Identifier | None = None

    @field_validator("base_url")
    @classmethod
    def _without_credentials(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not carry a user name or password")
        for name, _ in parse_qsl(parts.query, keep_blank_values=True):
            if any(word in name.lower() for word in _SECRET_WORDS):
                raise ValueError(f"must not carry a credential (query parameter {name!r})")
        return url


class SessionEntry(BaseModel):
    """One session as it was at one moment: a frozen copy, never a live view.

    Times are aware, in UTC, with whole milliseconds. ``version`` goes up by one with each call
    that changes the entry. ``session_key`` is the lane, ``session_id`` the conversation it is
    bound to now; they are different namespaces.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    session_key: SessionKey
    session_id: SessionId
    created_at: datetime
    updated_at: datetime
    version: int
    origin: SessionSource | None = None
    display_name: str | None = None
    platform: str | None = None
    chat_type: str = "dm"

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    total_tokens: int = 0
    last_prompt_tokens: int = 0
    estimated_cost_usd: Decimal = Decimal(0)
    cost_status: str = "unknown"

    was_auto_reset: bool = False
    auto_reset_reason: str | None = None
    reset_had_activity: bool = False
    is_fresh_reset: bool = False
    previous_session_id: SessionId | None = None
    """What the lane was bound to before, until a turn has ended well on what it is bound to now."""
    expiry_finalized: bool = False

    suspended: bool = False
    resume_pending: bool = False
    resume_reason: str | None = None
    last_resume_marked_at: datetime | None = None
    interruptions: int = 0
    """How many turns in a row were lost with their replica."""

    model_override: ModelOverride | None = None
    replica: str | None = None
    """The replica that handled the last message."""
