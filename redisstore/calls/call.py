"""A call, what it is made from, and sweeps that take several."""

from __future__ import annotations

import math
import os
import re
import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from redisstore.config import StoreConfig
from redisstore.errors import InvalidInput, short_repr
from redisstore.fields import LARGEST_NUMBER, from_ms, to_ms
from redisstore.keys import KeySpace, Partition, SessionId, SessionKey
from redisstore.scripts import Library
from redisstore.text import checked_text

T = TypeVar("T")
ItemT = TypeVar("ItemT")
Arg: TypeAlias = str | bytes | int
_MOST_DIGITS = 16
"""Of a number up to 2^53, as the scripts count."""
_LAST_MS = to_ms(datetime.max.replace(tzinfo=UTC))
_NOT_IN_A_TOKEN = re.compile(r"[^!-.0-~]+")


class Call(NamedTuple, Generic[T]):
    """One script call, the same however often it is repeated, and how to read its reply."""

    script: str
    keys: tuple[str, ...]
    args: tuple[Arg, ...]
    decode: Callable[[Any], T]
    creates: bool = False
    """Whether it may write where nothing is yet, and so has to lay out the store it writes to."""

    def by_sha(self, library: Library) -> tuple[Arg, ...]:
        """Return the EVALSHA command."""
        return ("EVALSHA", library[self.script].sha, len(self.keys), *self.keys, *self.args)

    def by_text(self, library: Library) -> tuple[Arg, ...]:
        """Return the EVAL command, which also teaches the server the script."""
        return ("EVAL", library[self.script].text, len(self.keys), *self.keys, *self.args)


@dataclass(frozen=True, slots=True)
class Ask:
    """A sweep's step: run these calls and send back their decoded replies, in order."""

    calls: Sequence[Call[Any]]


@dataclass(frozen=True, slots=True)
class Wait:
    """A step of a turn that begins: block on this list until it is woken, for so many seconds."""

    key: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Found(Generic[ItemT]):
    """A sweep's step: hand an item to whoever asked for the sweep."""

    item: ItemT


@dataclass(frozen=True, slots=True)
class Pause:
    """A watch's step: go on after so many seconds; end at once when the store is closed."""

    seconds: float


Sweep: TypeAlias = Generator[Ask | Found[ItemT], Any, None]
"""An operation of several calls: its steps."""


Watch: TypeAlias = Generator[Ask | Found[ItemT] | Pause, Any, None]
"""A sweep that need not end by itself."""


Steps: TypeAlias = Generator[Ask | Wait, Any, T]
"""An operation of several calls and waits, and what it comes to."""


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut items into parts of this size, the last of which may be smaller: one for each call."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def one(call: Call[T]) -> Steps[T]:
    """Make an operation of a single call."""
    answers: list[T] = yield Ask([call])
    return answers[0]


def utc_now() -> datetime:
    """Read this machine's clock."""
    return datetime.now(UTC)


def new_incarnation() -> str:
    """Return a name for a process that no other has."""
    return secrets.token_hex(4)


@dataclass(frozen=True)
class Context:
    """What every call is made from: where keys live, how the store is set up, what time it is."""

    space: KeySpace
    config: StoreConfig
    now: Callable[[], datetime] = utc_now
    """This machine's clock: it labels session ids and centres the daily boundaries, no more."""
    incarnation: str = field(default_factory=new_incarnation)
    """Names this process among those that have been the replica: hex digits."""

    @property
    def process(self) -> str:
        """What tokens of this process begin with: its replica, made printable, and incarnation."""
        return _NOT_IN_A_TOKEN.sub("-", self.config.replica) + "/" + self.incarnation

    @property
    def keep_ms(self) -> int:
        """How long the server knows a call's token: twice the time in which it may be repeated."""
        return int(self.config.deadline * 2000)

    def home(self, session_key: object) -> tuple[Partition, SessionKey]:
        """Check a session key and return its partition with it."""
        key = SessionKey(
            checked_text("session_key", session_key, max_bytes=self.config.max_key_bytes)
        )
        return self.space.partition_of(key), key

    def session_id(self, value: object, field_name: str = "session_id") -> SessionId:
        """Check a session id."""
        return SessionId(checked_text(field_name, value, max_bytes=self.config.max_key_bytes))


@dataclass(frozen=True, slots=True)
class Lease:
    """What a turn has while it runs: its lane, the token that names it, fence and session.

    ``lock_fence``: that of the lock of its session id, if it has that; 0: none is known.
    """

    session_key: SessionKey
    token: str
    fence: int
    session_id: SessionId
    lock_fence: int = field(default=0, compare=False)

    @property
    def proof(self) -> str:
        """Say which turn writes, as scripts take ``if_turn``."""
        return f"{self.token} {self.fence}"


class HasLease(Protocol):
    """A turn; ``lease`` raises ``RuntimeError`` before it runs, and ``TurnLost`` after it."""

    @property
    def lease(self) -> Lease:
        """What it has."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Conditions:
    """When a write applies: only to this generation, version, or turn; ``None``: any."""

    if_session_id: SessionId | None = None
    if_version: int | None = None
    if_turn: HasLease | None = None

    def args(self, context: Context) -> tuple[Arg, Arg, Arg]:
        """Check the conditions and return them as a script takes them."""
        if_session_id: Arg = ""
        if self.if_session_id is not None:
            if_session_id = context.session_id(self.if_session_id, "if_session_id")
        if self.if_version is not None and (
            type(self.if_version) is not int or not 1 <= self.if_version <= LARGEST_NUMBER
        ):
            raise InvalidInput(
                "if_version",
                f"must be a whole number from 1 to 2^53, not {short_repr(self.if_version)}",
            )
        if_turn: Arg = ""
        if self.if_turn is not None:
            if_turn = self.if_turn.lease.proof
        return if_session_id, "" if self.if_version is None else self.if_version, if_turn


def checked_number(
    field_name: str, value: object, *, lowest: float, highest: float, unit: str
) -> float:
    """Return a number that is within its bounds, or raise ``InvalidInput``."""
    # math.isnan would make a float of it first, and fail for a very large int.
    is_nan = isinstance(value, float) and math.isnan(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or is_nan:
        raise InvalidInput(field_name, f"must be a number of {unit}, not {short_repr(value)}")
    if not lowest <= value <= highest:
        raise InvalidInput(
            field_name, f"must be {lowest:g} to {highest:g} {unit}, not {short_repr(value)}"
        )
    return value


def new_token() -> str:
    """Return a name for one call, by which the server knows a repetition."""
    return secrets.token_hex(12)


def new_session_id(now: datetime) -> SessionId:
    """Return a session id: UTC time stamp and 12 random hex digits."""
    return SessionId(f"{_stamp(int(now.timestamp()))}_{os.urandom(6).hex()}")


@lru_cache(maxsize=8)
def _stamp(second: int) -> str:
    """Write out a second, once for all ids that are made in it."""
    return f"{datetime.fromtimestamp(second, UTC):%Y%m%d_%H%M%S}"


def as_bool(reply: bytes) -> bool:
    """Read a script's ``'1'`` or ``'0'``."""
    return reply == b"1"


def as_text(raw: bytes) -> str:
    """Read a name for a report; bytes that are no UTF-8 (written by hand) are shown escaped."""
    return raw.decode(errors="backslashreplace")


def as_texts(reply: Sequence[bytes]) -> list[str]:
    """Read a reply of names, each as ``as_text`` does."""
    return [as_text(part) for part in reply]


def as_labelled(reply: Sequence[bytes]) -> dict[str, Any]:
    """Read a reply of label, value, label, value, whatever was put beside them by hand."""
    pairs = iter(reply)
    return {as_text(label): value for label, value in zip(pairs, pairs, strict=True)}


def as_whole(text: str) -> int | None:
    """Read a whole number; ``None`` where there is none, as something else was put in by hand."""
    is_whole = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_whole else None


def as_moment(text: str) -> datetime | None:
    """Read milliseconds since 1970; ``None`` where there is no such moment."""
    ms = as_whole(text)
    try:
        return None if ms is None else from_ms(ms)
    except OverflowError:
        return None


def as_time(score: bytes) -> datetime:
    """Read when (ms) an index has something; what lies beyond all times, by hand, as the last."""
    return from_ms(int(min(max(float(score), 0.0), _LAST_MS)))
