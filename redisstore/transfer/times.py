"""The file's times: naive, in the local time of the gateway that wrote it.

A wall time that a clock change repeats is its first occurrence, and one that it skips is read
with the offset from before the change (``fold=0`` of PEP 495).
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from redisstore.errors import InvalidInput
from redisstore.fields import EPOCH, from_ms, to_ms

_MEANT_BY = {
    "CET": "Europe/Brussels",
    "EET": "Europe/Athens",
    "EST": "America/Panama",
    "GMT": "Etc/GMT",
    "HST": "Pacific/Honolulu",
    "MET": "Europe/Brussels",
    "MST": "America/Phoenix",
    "WET": "Europe/Lisbon",
}
"""What ``date +%Z`` says in many places, and the one whose time the zone of that name has."""


def checked_zone(zone: ZoneInfo | str) -> ZoneInfo:
    """Return a time zone given as such or by its IANA name, or raise ``InvalidInput``.

    ``EST`` and its like are refused as names: half of the year they may be an hour off.
    """
    if isinstance(zone, ZoneInfo):
        return zone
    try:
        found = ZoneInfo(zone)
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise InvalidInput(
            "zone", f"unknown time zone {zone!r:.60}; use one like 'Europe/Berlin'"
        ) from error
    if found.key in _MEANT_BY:
        raise InvalidInput(
            "zone",
            f"{zone} is what many places call their time, some for half of the year: name the"
            f" place, like 'Europe/Berlin' ({zone} alone is the time of '{_MEANT_BY[found.key]}')",
        )
    return found


def from_file(value: object, zone: ZoneInfo) -> datetime:
    """Read a time as UTC, rounded down to whole milliseconds. An offset in it is respected.

    Raises:
        ValueError: it is no ISO 8601 time, or not from 1970 to 9999.

    """
    if not isinstance(value, str):
        raise ValueError(f"must be a time as text, not {type(value).__name__}")  # noqa: TRY004 - pydantic collects ValueError
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f"{value!r:.60} is no ISO 8601 time") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    try:
        utc = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{value!r:.60} is not from 1970 to 9999") from error
    if utc < EPOCH:
        raise ValueError(f"{value!r:.60} is not from 1970 to 9999")
    return from_ms(to_ms(utc))


def to_file(moment: datetime, zone: ZoneInfo) -> str:
    """Write a time as the gateway does; the second of two equal hours reads as the first.

    Raises:
        OverflowError: the local time is outside the years 1 to 9999.

    """
    return moment.astimezone(zone).replace(tzinfo=None).isoformat()
