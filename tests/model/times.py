"""When sessions are due, worked out from the wall clock of a time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from redisstore import SessionResetPolicy

DAY = timedelta(days=1)
MILLISECOND = timedelta(milliseconds=1)


def boundary_before(moment: datetime, at_hour: int, zone: ZoneInfo) -> datetime:
    """Return the latest daily boundary that is not after a moment."""
    day = moment.astimezone(zone).date() + DAY
    while (boundary := _at(at_hour, day, zone)) > moment:
        day -= DAY
    return boundary


def boundary_after(moment: datetime, at_hour: int, zone: ZoneInfo) -> datetime:
    """Return the first daily boundary that is after a moment."""
    day = moment.astimezone(zone).date() - DAY
    while (boundary := _at(at_hour, day, zone)) <= moment:
        day += DAY
    return boundary


def _at(at_hour: int, day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(at_hour), zone).astimezone(UTC)


def reason_to_reset(
    policy: SessionResetPolicy, updated_at: datetime, now: datetime, zone: ZoneInfo
) -> str | None:
    """Return why a policy ends a session that was last active then, or ``None``."""
    if policy.mode in {"idle", "both"} and now > updated_at + timedelta(
        minutes=policy.idle_minutes
    ):
        return "idle"
    if policy.mode in {"daily", "both"} and updated_at < boundary_before(now, policy.at_hour, zone):
        return "daily"
    return None


def last_moment(
    policy: SessionResetPolicy, updated_at: datetime, zone: ZoneInfo
) -> datetime | None:
    """Return the last millisecond in which a session lives; ``None``: a policy never ends it."""
    ends = []
    if policy.mode in {"idle", "both"}:
        ends.append(updated_at + timedelta(minutes=policy.idle_minutes))
    if policy.mode in {"daily", "both"}:
        ends.append(boundary_after(updated_at, policy.at_hour, zone) - MILLISECOND)
    return min(ends, default=None)
