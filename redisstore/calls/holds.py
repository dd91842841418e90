"""Calls about process holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter

from redisstore.calls.call import (
    Arg,
    Call,
    Context,
    as_bool,
    as_text,
    as_time,
    checked_number,
    chunks,
    new_token,
)
from redisstore.config import LONGEST_HOLD_TTL
from redisstore.errors import CorruptEntry, NoSuchSession
from redisstore.fields import from_ms
from redisstore.keys import Partition, SessionKey
from redisstore.text import checked_text

Hold = tuple[SessionKey, str]
"""A session key and the id of a process attached to it."""

_MOST_A_CALL = 200
_SHORTEST_TTL = 0.001


def checked(context: Context, session_key: object, process_id: object) -> Hold:
    """Check what names a hold."""
    _, key = context.home(session_key)
    limit = context.config.max_key_bytes
    return key, checked_text("process_id", process_id, max_bytes=limit)


def take(context: Context, hold: Hold, ttl: float | None) -> Call[datetime]:
    """Take or renew one hold; the reply is when it lapses. Raises ``NoSuchSession``."""
    home = context.space.partition_of(hold[0])

    def decode(reply: Sequence[bytes]) -> datetime:
        if reply[0] == b"unknown":
            raise NoSuchSession(f"{hold[0]!r} has no session that process {hold[1]!r} could hold")
        if reply[0] == b"damaged":
            raise CorruptEntry(home.holds(hold[0]), "it is not a sorted set")
        return from_ms(int(reply[0]))

    args = (_ttl_ms(context, ttl), *hold)
    return Call("hold_processes", (home.prefix, home.active), args, decode)


def renew(context: Context, holds: Sequence[Hold]) -> list[Call[Mapping[Hold, datetime | None]]]:
    """Renew many holds, a bounded number a call; ``None`` for one whose session is gone.

    A hold whose key was damaged by hand is left out of the reply.
    """
    sound = [checked(context, *hold) for hold in holds]
    return [
        _renew_call(context, home, some)
        for home, mine in context.space.by_partition(sound, itemgetter(0)).items()
        for some in chunks(mine, _MOST_A_CALL)
    ]


def _renew_call(
    context: Context, home: Partition, holds: Sequence[Hold]
) -> Call[Mapping[Hold, datetime | None]]:
    def decode(reply: Sequence[bytes]) -> Mapping[Hold, datetime | None]:
        return {
            hold: from_ms(int(raw)) if raw.isdigit() else None
            for hold, raw in zip(holds, reply, strict=True)
            if raw != b"damaged"
        }

    ttl_ms = _ttl_ms(context, None)
    args: tuple[Arg, ...] = (ttl_ms, *(part for hold in holds for part in hold))
    return Call("hold_processes", (home.prefix, home.active), args, decode)


def release(context: Context, hold: Hold) -> Call[bool]:
    """Give up one hold."""
    home = context.space.partition_of(hold[0])
    args = (*hold, new_token(), context.keep_ms)
    return Call("release_process", (home.prefix, home.active), args, as_bool)


def listed(context: Context, session_key: object) -> Call[Mapping[str, datetime]]:
    """Read the live holds of a session."""
    home, key = context.home(session_key)

    def decode(reply: Sequence[bytes]) -> Mapping[str, datetime]:
        return {
            as_text(process_id): as_time(lapses)
            for process_id, lapses in zip(reply[::2], reply[1::2], strict=True)
        }

    return Call("list_holds", (home.holds(key),), (), decode)


def _ttl_ms(context: Context, ttl: float | None) -> int:
    seconds = context.config.process_hold_ttl if ttl is None else ttl
    checked_number("ttl", seconds, lowest=_SHORTEST_TTL, highest=LONGEST_HOLD_TTL, unit="seconds")
    return int(seconds * 1000)
