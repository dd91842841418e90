"""When a session starts anew by itself, and how that is told to a script.

Redis knows no time zones, so a call carries four daily boundaries around this machine's now, two
before and two after, and the script picks by the server's clock. With two, a client 60 seconds
fast would reset sessions that are not due.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

MINUTE_MS = 60_000


class SessionResetPolicy(BaseModel):
    """When a session is replaced by a new one.

    ``idle``: more than ``idle_minutes`` since the last activity. ``daily``: the last activity was
    before the latest ``at_hour`` o'clock, in the configured time zone. ``both``: whichever comes
    first, idle asked first. ``none``: never.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["none", "idle", "daily", "both"] = "none"
    at_hour: Annotated[int, Field(strict=True, ge=0, le=23)] = 4
    idle_minutes: Annotated[int, Field(strict=True, ge=1, le=5_256_000)] = 1440


class ResetRules(BaseModel):
    """Which policy holds for whom: by platform, else by chat type, else the default."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    default: SessionResetPolicy = SessionResetPolicy()
    by_platform: Mapping[str, SessionResetPolicy] = {}
    by_type: Mapping[str, SessionResetPolicy] = {}
    timezone: ZoneInfo = ZoneInfo("UTC")

    def policy_for(self, platform: str | None, chat_type: str) -> SessionResetPolicy:
        """Return the policy of a platform and chat type."""
        return self.by_platform.get(platform or "") or self.by_type.get(chat_type) or self.default

    def script_text_for(self, platform: str | None, chat_type: str, now: datetime) -> str:
        """Return the policy that a script needs when the platform is known."""
        return self._text(self.policy_for(platform, chat_type), now)

    def script_args(self, now: datetime) -> tuple[str, ...]:
        """Return all rules, the most special last, for a script that learns the platform itself."""
        rules = [
            ("default", "", self.default),
            *(("chat_type", name, policy) for name, policy in self.by_type.items()),
            *(("platform", name, policy) for name, policy in self.by_platform.items()),
        ]
        if all(policy.mode == "none" for _, _, policy in rules):
            return ()
        args: tuple[str, ...] = ()
        for kind, name, policy in rules:
            args += (kind, name, self._text(policy, now))
        return args

    def _text(self, policy: SessionResetPolicy, now: datetime) -> str:
        if policy.mode == "none":
            return policy.mode
        idle_ms = 0 if policy.mode == "daily" else policy.idle_minutes * MINUTE_MS
        if policy.mode == "idle":
            return f"{policy.mode} {idle_ms}"
        bounds = daily_boundaries(self.timezone, policy.at_hour, now)
        return f"{policy.mode} {idle_ms} " + " ".join(map(str, bounds))


def daily_boundaries(zone: ZoneInfo, at_hour: int, now: datetime) -> tuple[int, int, int, int]:
    """Return the last two and the next two daily boundaries around ``now``, in ms since 1970."""
    local = now.astimezone(zone)
    first_next = local.date()
    if _boundary(zone, at_hour, first_next) <= now:
        first_next += timedelta(days=1)
    return _boundaries_ms(zone, at_hour, first_next)


def _boundary(zone: ZoneInfo, at_hour: int, day: date) -> datetime:
    return datetime.combine(day, time(at_hour), tzinfo=zone).astimezone(UTC)


@lru_cache(maxsize=256)
def _boundaries_ms(zone: ZoneInfo, at_hour: int, first_next: date) -> tuple[int, int, int, int]:
    before_2, before_1, after_1, after_2 = (
        int(_boundary(zone, at_hour, first_next + timedelta(days=offset)).timestamp()) * 1000
        for offset in (-2, -1, 0, 1)
    )
    return before_2, before_1, after_1, after_2
