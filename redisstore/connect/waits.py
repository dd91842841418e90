"""Waits of threads: each blocks on a connection of its own until it is woken, or all are ended."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import redis

from redisstore.connect.connection import Connection, SyncClient
from redisstore.connect.held import Held
from redisstore.errors import StoreClosed
from redisstore.fork import FreshAfterFork
from redisstore.retry import FAILURES

_SHORTEST = 0.001
_SLICE = 0.2
"""Seconds that an imitated server blocks at a time."""


def blpop(key: str, seconds: float) -> tuple[str, str, str]:
    """Return the command that blocks for so long. Never for 0 s, which Redis takes for ever."""
    return "BLPOP", key, f"{max(seconds, _SHORTEST):.3f}"


class Waits(FreshAfterFork):
    """Blocks threads on lists of Redis, over a client for waits that is made when it is needed."""

    def __init__(self, connection: Connection[SyncClient], slack: float) -> None:
        self._connection = connection
        self._slack = slack
        # Some clients can't be made again, and are used for waits too.
        given = None if connection.owned else connection.client
        self._held = Held(connection.waiting, given=given)
        self._closed = False
        super().__init__()

    def _start_afresh(self) -> None:
        self._blocked: set[Any] = set()
        self._lock = threading.RLock()  # a signal's handler may close what it has interrupted

    def wait(self, key: str, seconds: float) -> None:
        """Block until something is pushed, for so many seconds at most.

        Raises:
            StoreClosed: this was closed, before or meanwhile.
            redis.exceptions.RedisError: as redis-py does.
            OSError: likewise.

        """
        pool = self._pool_for(key)
        connection = self._acquire(pool)
        try:
            if self._connection.imitated:
                self._block_in_slices(connection, key, seconds)
            else:
                self._block(connection, key, seconds)
        except BaseException as error:
            connection.disconnect()  # it may still be blocked
            self._raise_if_closed(error)
            raise
        finally:
            with self._lock:
                self._blocked.discard(connection)
            pool.release(connection)
            if self._closed:
                self._disconnect()

    def _block(self, connection: Any, key: str, seconds: float) -> object:  # noqa: ANN401 - redis-py's pools and connections share no type
        connection.send_command(*blpop(key, seconds))
        if connection.can_read(timeout=seconds + self._slack):
            reply: object = connection.read_response()
            return reply
        connection.disconnect()
        return None

    def _block_in_slices(self, connection: Any, key: str, seconds: float) -> None:  # noqa: ANN401 - likewise
        """Block where fakeredis imitates a server: there, no other thread can end it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._closed:
            if self._block(connection, key, min(left, _SLICE)) is not None:
                return

    def refresh(self) -> None:
        """After a failure: read anew who serves which slots, for waits bypass what else does it."""
        client: Any = self._held.made
        if isinstance(client, redis.RedisCluster):
            with contextlib.suppress(*FAILURES):
                client.nodes_manager.initialize()

    def close(self) -> None:
        """End all waits, for good."""
        with self._lock:
            self._closed = True
            blocked = tuple(self._blocked)
        if not self._connection.imitated:
            for connection in blocked:
                connection.disconnect()
        self._disconnect()

    def _acquire(self, pool: Any) -> Any:  # noqa: ANN401 - likewise
        try:
            connection = pool.get_connection()
        except Exception as error:
            self._raise_if_closed(error)
            raise
        with self._lock:
            if not self._closed:
                self._blocked.add(connection)
                return connection
        connection.disconnect()
        pool.release(connection)
        raise StoreClosed

    def _raise_if_closed(self, error: BaseException) -> None:
        """Whatever redis-py makes of a connection that is cut under its hands."""
        if self._closed and isinstance(error, Exception):
            raise StoreClosed from error

    def _pool_for(self, key: str) -> Any:  # noqa: ANN401 - likewise
        with self._lock:
            if self._closed:
                raise StoreClosed
            client: Any = self._held.client
        if self._connection.clustered:
            client = client.get_redis_connection(client.get_node_from_key(key))
        return client.connection_pool

    def _disconnect(self) -> None:
        """Close what was made for waits; while others have to leave it, the last one does that."""
        if not self._blocked:
            self._held.close()
