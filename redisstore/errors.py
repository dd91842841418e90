"""Everything that redisstore raises, and which script error becomes which class.

RedisStoreError
├── StoreUnavailable     Redis could not be reached, or did not answer, within the deadline
│   └── StoreFull        Redis refuses writes: ``maxmemory`` is reached
├── StoreRefused         Redis answered and refused: wrong password, no permission, any other error
├── StoreClosed          the store was closed, before the call or during it
├── LayoutMismatch       what is stored was written with another layout or partition count
├── ClockSkew            this machine's clock and the server's are a day or more apart
├── CorruptEntry         an entry, or an index, was damaged by hand
├── StaleWrite           ``if_session_id`` or ``if_version`` no longer holds
├── NoSuchSession        the session key is unknown, and the call needs one that exists
├── DuplicateMessage     the message was handled, or is being handled
├── TurnBusy             another turn has the session, and this one can't or won't wait longer
├── TurnLost             the turn no longer has its session: its lease lapsed, or was taken away
├── StoreInUse           the store can't be dropped: replicas are alive, or turns run
├── ReplicaDraining      this store begins no more turns, it is shutting down
└── InvalidInput         a bad argument, named; nothing of the call was done (a ``ValueError`` too)
    └── EntryTooLarge    a key, a value or a whole entry is over its limit
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

__all__ = [
    "ClockSkew",
    "CorruptEntry",
    "DuplicateMessage",
    "EntryTooLarge",
    "InvalidInput",
    "LayoutMismatch",
    "NoSuchSession",
    "RedisStoreError",
    "ReplicaDraining",
    "StaleWrite",
    "StoreClosed",
    "StoreFull",
    "StoreInUse",
    "StoreRefused",
    "StoreUnavailable",
    "TurnBusy",
    "TurnLost",
    "from_script",
    "short_repr",
]


class RedisStoreError(Exception):
    """The root: ``except RedisStoreError`` catches all that redisstore raises on its own."""


class StoreUnavailable(RedisStoreError):
    """Redis was not reached, or did not answer, within the deadline of the call.

    The call may or may not have been applied. Calling again is a new call: safe for reads and for
    ``get_or_create_session``, a second count for ``update_session``. There is no local fallback.
    """


class StoreFull(StoreUnavailable):
    """Redis refuses writes because ``maxmemory`` is reached. Nothing of the call was applied.

    Where a reply was lost before, so that this is not known, ``StoreUnavailable`` is raised.
    """


class StoreRefused(RedisStoreError):
    """Redis answered with an error that a retry won't change; the message repeats it.

    A wrong password, a permission that is missing, or any error for which there is no other class.
    """


class StoreClosed(RedisStoreError):
    """The store was closed, which is final: nothing is sent any more.

    A call that was under way as it was closed may or may not have been applied.
    """

    def __str__(self) -> str:
        return "the store was closed"


class LayoutMismatch(RedisStoreError):
    """``{namespace}:meta`` names another layout version or partition count than this client's."""


class ClockSkew(RedisStoreError):
    """The server's clock is outside the four daily boundaries sent: a day or more from ours."""


class CorruptEntry(RedisStoreError):
    """An entry or an index was damaged by hand; ``redisstore doctor`` says what is wrong.

    ``key`` is the Redis key. Other sessions are not affected.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(key, problem)
        self.key = key
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}"


class StaleWrite(RedisStoreError):
    """A conditional write came too late: the session id or version has changed since."""


class NoSuchSession(RedisStoreError):
    """The session key is unknown; nothing was created."""


MessageState: TypeAlias = Literal["done", "running", "waiting"]
"""What became of a message so far."""


class DuplicateMessage(RedisStoreError):
    """The message was handled (``state`` is ``done``, ``at`` when) or is being handled.

    While it runs (``at``: when its lease lapses) or waits, it may still be lost with its replica
    ``replica``. So acknowledge a redelivery to the platform only where ``state`` is ``done``.
    """

    def __init__(
        self, message_id: str, state: MessageState, at: datetime | None, replica: str | None
    ) -> None:
        super().__init__(message_id, state, at, replica)
        self.message_id = message_id
        self.state: MessageState = state
        self.at = at
        self.replica = replica

    def __str__(self) -> str:
        where = f" on {self.replica}" if self.replica else ""
        return f"message {self.message_id!r} is {self.state} already{where}"


class TurnBusy(RedisStoreError):
    """Another turn has the session: ``replica`` runs it, ``lapses_at`` is when its lease lapses.

    The lease is renewed while the turn runs. ``queue_full``: it wasn't the time that was up, too
    many others wait already. The message was not handled and is free for another try.
    """

    def __init__(
        self, session_key: str, replica: str, lapses_at: datetime, *, queue_full: bool = False
    ) -> None:
        super().__init__(session_key, replica, lapses_at)
        self.session_key = session_key
        self.replica = replica
        self.lapses_at = lapses_at
        self.queue_full = queue_full

    def __str__(self) -> str:
        full = ", and too many wait for it" if self.queue_full else ""
        return f"{self.session_key} is in a turn of {self.replica}{full}"


class TurnLost(RedisStoreError):
    """The turn no longer has its session; nothing that it writes is taken any more.

    Its lease lapsed, because this process was away for too long or did not reach Redis, or its
    session was deleted. The message is free to be delivered again.
    """


class ReplicaDraining(RedisStoreError):
    """The store was told to ``drain`` and begins no more turns. Another replica may."""


class StoreInUse(RedisStoreError):
    """A store was not dropped, or not to the end: replicas are alive, turns run, or keys come."""


class InvalidInput(RedisStoreError, ValueError):
    """An argument is wrong; the message begins with its name. Nothing of the call was done.

    It is found before anything is sent, unless only a script can tell: see ``EntryTooLarge``.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class EntryTooLarge(InvalidInput):
    """A key, a value or a whole entry is over the limit that the configuration sets.

    So is a counter that would come to 2^53, or one more message for a turn that has taken 1000:
    that only a script can tell, and it refuses them before its first write.
    """


def short_repr(value: object) -> str:
    """Return a value as a message may name it: its repr, of bounded length.

    Python refuses to write out whole numbers of thousands of digits, also inside of others.
    """
    try:
        return f"{value!r:.60}"
    except ValueError:
        return f"a value of type {type(value).__name__}, too long to be written out"


_BY_SCRIPT_CODE: dict[str, type[RedisStoreError]] = {
    "STALE": StaleWrite,
    "LOST": TurnLost,
    "CLOCKSKEW": ClockSkew,
    "LAYOUT": LayoutMismatch,
}


def from_script(message: str) -> RedisStoreError | None:
    """Turn the error reply of one of our scripts into its class; ``None`` if it isn't one.

    The first word of the reply is the code. ``CORRUPT`` and ``LIMIT`` name a Redis key or a field
    as their second word: ``CORRUPT {redisstore}:entry:k is damaged: it is not a hash``.
    """
    code, _, rest = message.partition(" ")
    if code == "CORRUPT":
        key, _, problem = rest.partition(" is damaged: ")
        return CorruptEntry(key, problem or "damaged")
    if code == "LIMIT":
        field, _, problem = rest.partition(" ")
        return EntryTooLarge(field, problem)
    known = _BY_SCRIPT_CODE.get(code)
    return known(rest) if known else None
