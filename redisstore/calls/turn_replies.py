"""What the scripts of turns answer, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias, cast

from redisstore.entry import SessionEntry
from redisstore.errors import MessageState
from redisstore.fields import Hash, decode_entry, from_ms, pairs_of
from redisstore.keys import SessionId, SessionKey


@dataclass(frozen=True, slots=True)
class Running:
    """The turn has its lane."""

    fence: int
    """What its writes are known by in its lane."""
    session_fence: int
    """A number that grows from turn to turn of its session id, on whichever lane."""
    created: bool
    reset_reason: str | None
    entry: SessionEntry
    id_home: str
    """Where its session id is to be locked; empty: no other lane shares it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Another turn has it."""

    kind: Literal["waiting", "busy", "full"]
    lapses_at: datetime
    seconds: float
    replica: str


@dataclass(frozen=True, slots=True)
class Known:
    """The message is not new."""

    state: MessageState
    at: datetime | None
    replica: str | None


Answer: TypeAlias = Running | Taken | Known | Literal["lapsed", "ended"]


@dataclass(frozen=True, slots=True)
class Locked:
    """The turn has the lock of its session id."""

    fence: int


@dataclass(frozen=True, slots=True)
class LockLapsed:
    """The lock of a session id has lapsed; this turn had it."""

    token: str
    session_key: SessionKey


@dataclass(frozen=True, slots=True)
class Ended:
    """A turn has ended."""

    entry: SessionEntry | None
    stale: bool
    """Whether its session was reset or switched meanwhile, so that nothing of it was changed."""
    handed: bool
    """Whether a turn that waited has the lane now, for a moment, to claim it."""
    id_home: str
    session_id: SessionId
    """Of the conversation at its end: it may have gone on under another id."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A turn was given up."""

    was: Literal["running", "waiting", "gone"]
    handed: bool
    id_home: str
    session_id: SessionId


@dataclass(frozen=True, slots=True)
class Lost:
    """A turn that had lapsed, and was found."""

    session_key: SessionKey
    token: str
    session_id: SessionId
    message_id: str
    replica: str
    outcome: Literal["resume_pending", "suspended", ""]
    """What became of its session; empty: nothing, it was suspended, reset or deleted before."""
    id_home: str

    def __str__(self) -> str:
        what = f"the turn of {self.replica} on {self.session_key} was lost"
        return f"{what}, the session is {self.outcome} now" if self.outcome else what


@dataclass(frozen=True, slots=True)
class LapsedLock:
    """The lock of a session id that has lapsed, and the turn that has it."""

    session_id: SessionId
    token: str
    session_key: SessionKey
    """Empty: it was given to that turn, and not claimed."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a look at lapsed turns has found."""

    lost: tuple[Lost, ...]
    handed: bool
    more: bool
    lapsed_locks: tuple[LapsedLock, ...]


def read_answer(session_key: SessionKey, redis_key: str, reply: Sequence[Any]) -> Answer:
    """Read what ``begin_turn`` answers."""
    kind = reply[0].decode()
    match kind:
        case "running":
            flat = reply[5]
            return Running(
                fence=int(reply[1]),
                session_fence=int(reply[1]),
                created=reply[3] == b"1",
                reset_reason=reply[4].decode() or None,
                entry=decode_entry(session_key, redis_key, flat),
                id_home=_field(flat, b"id_home"),
            )
        case "duplicate":
            at = from_ms(int(reply[2])) if reply[2] else None
            return Known(reply[1].decode(), at, reply[3].decode() or None)
        case "lapsed" | "ended":
            return cast('Literal["lapsed", "ended"]', kind)
        case _:
            return _read_taken(reply)


def read_lock(reply: Sequence[bytes]) -> Locked | LockLapsed | Taken:
    """Read what ``lock_session_id`` answers."""
    match reply[0]:
        case b"locked":
            return Locked(int(reply[1]))
        case b"lapsed":
            return LockLapsed(reply[1].decode(), SessionKey(reply[2].decode()))
        case _:
            return _read_taken(reply)


def _read_taken(reply: Sequence[bytes]) -> Taken:
    kind = cast('Literal["waiting", "busy", "full"]', reply[0].decode())
    return Taken(kind, from_ms(int(reply[1])), int(reply[2]) / 1000, reply[3].decode())


def _field(reply: Hash, name: bytes) -> str:
    return next((value.decode() for field, value in pairs_of(reply) if field == name), "")


def read_ended(session_key: SessionKey, redis_key: str, reply: Sequence[Any]) -> Ended:
    """Read what ``end_turn`` answers."""
    outcome, handed, id_home, session_id, flat = reply
    return Ended(
        entry=decode_entry(session_key, redis_key, flat) if flat else None,
        stale=outcome == b"stale",
        handed=handed == b"1",
        id_home=id_home.decode(),
        session_id=SessionId(session_id.decode()),
    )


def read_abandoned(reply: Sequence[bytes]) -> Abandoned:
    """Read what ``abandon_turn`` answers."""
    was = cast('Literal["running", "waiting", "gone"]', reply[0].decode())
    return Abandoned(was, reply[1] == b"1", reply[2].decode(), SessionId(reply[3].decode()))


def read_recovered(reply: Sequence[Any]) -> Recovered:
    """Read what ``recover_turns`` answers."""
    texts = [part.decode(errors="backslashreplace") for part in reply[3:]]
    locks = [part.decode(errors="backslashreplace") for part in reply[2]]
    lost = tuple(
        Lost(
            session_key=SessionKey(texts[at]),
            token=texts[at + 1],
            session_id=SessionId(texts[at + 2]),
            message_id=texts[at + 3],
            replica=texts[at + 4],
            outcome=cast('Literal["resume_pending", "suspended", ""]', texts[at + 5]),
            id_home=texts[at + 6],
        )
        for at in range(0, len(texts), 7)
    )
    lapsed = tuple(
        LapsedLock(SessionId(session_id), token, SessionKey(session_key))
        for session_id, token, session_key in zip(locks[::3], locks[1::3], locks[2::3], strict=True)
    )
    return Recovered(lost, handed=reply[1] == b"1", more=reply[0] == b"1", lapsed_locks=lapsed)
