"""Everything that redisstore raises, and which script error becomes which class.

RedisStoreError
├── StoreUnavailable     Redis could not be reached, or did not answer, within the deadline
│   └── StoreFull        Redis refuses writes: ``maxmemory`` is reached
├── StoreRefused         Redis answered, and will not do it: wrong password, missing permission
├── LayoutMismatch       what is stored was written with another layout or partition count
├── ClockSkew            this machine's clock and the server's are a day or more apart
├── CorruptEntry         an entry, or an index, was damaged by hand
├── StaleWrite           ``if_session_id`` or ``if_version`` no longer holds
├── NoSuchSession        the session key is unknown, and the call needs one that exists
└── InvalidInput         a bad argument, named, before anything is sent (a ``ValueError`` too)
    └── EntryTooLarge    a key, a value or a whole entry is over its limit
"""

from __future__ import annotations

__all__ = [
    "ClockSkew",
    "CorruptEntry",
    "EntryTooLarge",
    "InvalidInput",
    "LayoutMismatch",
    "NoSuchSession",
    "RedisStoreError",
    "StaleWrite",
    "StoreFull",
    "StoreRefused",
    "StoreUnavailable",
    "from_script",
]


class RedisStoreError(Exception):
    """The root: ``except RedisStoreError`` catches all that redisstore raises on its own."""


class StoreUnavailable(RedisStoreError):
    """Redis was not reached, or did not answer, within the deadline of the call.

    The call may or may not have been applied. Calling again is a new call: safe for reads and for
    ``get_or_create_session``, a second count for ``update_session``. There is no local fallback.
    """


class StoreFull(StoreUnavailable):
    """Redis refuses writes because ``maxmemory`` is reached. Nothing of the call was applied."""


class StoreRefused(RedisStoreError):
    """Redis answered with a refusal that a retry won't change: authentication, ACL."""


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


class InvalidInput(RedisStoreError, ValueError):
    """An argument is wrong; the message begins with its name. Nothing was sent to Redis."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class EntryTooLarge(InvalidInput):
    """A key, a value or a whole entry is over the limit that the configuration sets."""


_BY_SCRIPT_CODE: dict[str, type[RedisStoreError]] = {
    "STALE": StaleWrite,
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
