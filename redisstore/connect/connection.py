"""What `connect` and `adopt` return: a client, and what the caller has to know about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import hiredis
import redis
import redis.asyncio

from redisstore.connect.held import Held

SyncClient: TypeAlias = redis.Redis | redis.RedisCluster
AsyncClient: TypeAlias = redis.asyncio.Redis | redis.asyncio.RedisCluster

Command: TypeAlias = tuple[str | bytes | int, ...]

ClientT = TypeVar("ClientT")


def packed(command: Command) -> bytes:
    """Return a command as it goes over the wire.

    Numbers are written out here: hiredis 3.5 crashes where a signal's handler raises while it does.
    """
    parts: Any = tuple([str(part) if type(part) is int else part for part in command])
    raw: bytes = hiredis.pack_command(parts)
    return raw


@dataclass(frozen=True)
class Connection(Generic[ClientT]):
    """A redis-py client with the facts that its own interface doesn't tell."""

    held: Held[ClientT]
    owned: bool
    """Whether redisstore made the client, and closes it; a client of the user's own stays open."""
    clustered: bool
    """Whether it talks to a Redis Cluster; the default partition count is 64 then, else 1."""
    imitated: bool
    """Whether fakeredis answers: it knows no ``#!lua`` line, and none of its connections can be cut
    while it answers a call."""
    revive: Callable[[float], None] | None
    """Starts an embedded server that died, within so many seconds; blocking. Else ``None``."""
    label: str
    """The URL, its password masked, for messages."""
    waiting: Callable[[], ClientT]
    """Makes a client whose connections may block; does I/O where making ``client`` did."""

    @property
    def client(self) -> ClientT:
        """The client; a forked child makes its own when it first asks, and `connect` says how."""
        return self.held.client
