"""Script calls of threads, each over a connection of redis-py that is nobody else's meanwhile.

The connections are those that a pool makes, but no part of it: fetching one there and putting it
back takes half as long as the call itself. So does what else ``execute_command`` of redis-py does:
it looks for options, callbacks and caches that a script call has none of.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import redis
from redis import exceptions as rx

from redisstore.connect.connection import Command, Connection, SyncClient, packed

_ROOM = object()
"""Found where there is no idle connection, but another may be made."""


class Exchange:
    """Sends commands and returns their replies; at most ``most`` threads at once, others wait.

    The connection that was used last is used next, so there are as many as there were threads.
    """

    def __init__(self, pool: Any, *, most: int, patience: float) -> None:  # noqa: ANN401 - redis-py's pools share no type
        self._pool = pool
        self._most = most
        self._patience = patience
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._idle: deque[Any] = deque()
        self._made = 0
        self._waiting = 0
        self._returned = threading.Condition()

    def execute_command(self, *command: str | bytes | int) -> Any:  # noqa: ANN401 - any reply
        """Run one command; raises what redis-py raises."""
        connection = self._taken()
        try:
            connection.send_packed_command([packed(command)])
            reply = connection.read_response()
        except rx.ResponseError:
            self._put_back(connection)
            raise
        except BaseException:
            self._given_up(connection)
            raise
        self._put_back(connection)
        return reply

    def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one round trip; a reply that is an error is returned as it is."""
        connection = self._taken()
        try:
            connection.send_packed_command([*map(packed, commands)])
            replies = [_reply_of(connection) for _ in commands]
        except BaseException:
            self._given_up(connection)
            raise
        self._put_back(connection)
        return replies

    def close(self) -> None:
        """Disconnect what is idle; a call that is under way ends as it would."""
        with contextlib.suppress(IndexError):  # another thread may be at it too
            while True:
                self._discard(self._idle.pop())

    def _taken(self) -> Any:  # noqa: ANN401 - redis-py's connections share no type
        if self._process != os.getpid():
            self._begin()  # after a fork the connections are the parent's
        try:
            return self._idle.pop()
        except IndexError:
            return self._made_or_awaited()

    def _made_or_awaited(self) -> Any:  # noqa: ANN401 - likewise
        with self._returned:
            self._waiting += 1
            try:
                found = self._returned.wait_for(self._found, self._patience)
            finally:
                self._waiting -= 1
        if not found:
            raise rx.MaxConnectionsError("No connection available.")
        return self._pool.make_connection() if found is _ROOM else found

    def _found(self) -> Any:  # noqa: ANN401 - likewise
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        if self._made < self._most:
            self._made += 1
            return _ROOM
        return None

    def _put_back(self, connection: Any) -> None:  # noqa: ANN401 - likewise
        self._idle.append(connection)
        # Whoever waits has counted itself before it looked, so either it saw this or is seen here.
        if self._waiting:
            with self._returned:
                self._returned.notify()

    def _given_up(self, connection: Any) -> None:  # noqa: ANN401 - likewise
        """Drop a connection that may still get a reply, and the idle ones: they would fail next."""
        self._discard(connection)
        self.close()

    def _discard(self, connection: Any) -> None:  # noqa: ANN401 - likewise
        connection.disconnect()
        with self._returned:
            self._made -= 1
            self._returned.notify()


def exchange_for(connection: Connection[SyncClient], patience: float) -> Exchange | None:
    """Return what runs the calls of a client; ``None``: the client has to do it by itself.

    A Cluster's client finds the nodes, fakeredis has no connections, a cache reads what is sent.
    """
    client = connection.client
    if isinstance(client, redis.RedisCluster) or not connection.knows_shebang:
        return None
    pool: Any = client.connection_pool
    if getattr(pool, "cache", None) is not None:
        return None
    return Exchange(pool, most=pool.max_connections, patience=patience)


def _reply_of(connection: Any) -> Any:  # noqa: ANN401 - likewise
    try:
        return connection.read_response()
    except rx.ResponseError as error:
        return error
