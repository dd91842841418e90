"""One event: something that happened to sessions, as the streams tell it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from redisstore.calls.call import as_text
from redisstore.errors import InvalidInput, short_repr
from redisstore.fields import from_ms
from redisstore.keys import SessionKey

GAP = "gap"
_ID = re.compile(r"(\d{1,3})-(\d{13,15})-(\d{10,19})", re.ASCII)
_OWN_FIELDS = ("session_id", "old_session_id", "reason", "replica", "message_id", "error")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to one session, or with ``pruned`` to many.

    ``kind`` is ``created``, ``reset``, ``switched``, ``suspended``, ``resume_pending``,
    ``deleted``, ``pruned``, ``turn_lost`` or ``finalized``; later versions may know more. And
    ``gap``: here the reader had fallen behind, and events were trimmed away before it came, those
    from ``lost_from`` up to, and without, ``lost_until``. Of a gap the ids alone are known.
    """

    id: str
    """Tells a repetition; within a partition, texts of ids sort in the order of events."""
    partition: int
    kind: str
    at: datetime
    """When, by the server's clock."""
    session_key: SessionKey | None = None
    """The session; ``None`` where it was several."""
    session_keys: tuple[SessionKey, ...] = ()
    """All sessions concerned, one or several."""
    session_id: str | None = None
    """What the session is bound to since; of ``deleted`` and ``turn_lost``, what it was."""
    old_session_id: str | None = None
    reason: str | None = None
    replica: str | None = None
    message_id: str | None = None
    fence: int | None = None
    error: str | None = None
    """Of ``finalized``: why it failed."""
    lost_from: str | None = None
    lost_until: str | None = None
    fields: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """What else was told, by a version that knows more."""


def event_id(partition: int, stream_id: str) -> str:
    """Return an event's id: its partition, and its id in the stream there made to sort as text."""
    ms, _, number = stream_id.partition("-")
    return f"{partition}-{ms:0>13}-{number:0>10}"


def place_of(identifier: object, field_name: str = "since") -> tuple[int, str]:
    """Return the partition of an event, and its id in the stream there."""
    match = _ID.fullmatch(identifier) if isinstance(identifier, str) else None
    if not match:
        raise InvalidInput(field_name, f"{short_repr(identifier)} is not the id of an event")
    partition, ms, number = map(int, match.groups())
    return partition, f"{ms}-{number}"


def read_events(partition: int, flat: Iterable[bytes | Sequence[bytes]]) -> list[Event]:
    """Read events from id, fields, id, fields; without fields, that one was trimmed away."""
    parts = iter(flat)
    return [
        _event(partition, stream_id.decode(), fields)
        if fields
        else gap(partition, stream_id.decode(), _next(stream_id.decode()))
        for stream_id, fields in zip(parts, parts, strict=True)
        if isinstance(stream_id, bytes)
    ]


def gap_behind(partition: int, position: str, first_left: bytes) -> list[Event]:
    """Return the gap between a position and the first event that is left, if there is one."""
    return [gap(partition, _next(position), first_left.decode())] if first_left else []


def gap(partition: int, lost_from: str, lost_until: str) -> Event:
    """Make the event that stands for those which were trimmed away."""
    return Event(
        id=event_id(partition, lost_from),
        partition=partition,
        kind=GAP,
        at=_moment(lost_from),
        lost_from=event_id(partition, lost_from),
        lost_until=event_id(partition, lost_until),
    )


def _next(stream_id: str) -> str:
    ms, _, number = stream_id.partition("-")
    return f"{ms}-{int(number) + 1}"


def _moment(stream_id: str) -> datetime:
    return from_ms(int(stream_id.partition("-")[0]))


def _event(partition: int, stream_id: str, flat: bytes | Sequence[bytes]) -> Event:
    parts = [as_text(part) for part in flat if isinstance(part, bytes)]
    pairs = list(zip(parts[::2], parts[1::2], strict=True))
    told = dict(pairs)
    keys = tuple(SessionKey(value) for name, value in pairs if name == "session_key")
    kind, fence = told.pop("event", ""), told.pop("fence", "")
    told.pop("session_key", None)
    known = {name: told.pop(name, None) for name in _OWN_FIELDS}
    return Event(
        id=event_id(partition, stream_id),
        partition=partition,
        kind=kind,
        at=_moment(stream_id),
        session_key=keys[0] if len(keys) == 1 else None,
        session_keys=keys,
        fence=int(fence) if fence.isdecimal() else None,
        fields=MappingProxyType(told),
        **known,
    )
