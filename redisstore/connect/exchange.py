"""Script calls of threads, each over a connection of redis-py that is nobody else's meanwhile.

The connections are such as a pool makes, but no part of it: fetching one there and putting it
back takes half as long as the call itself. So does what else ``execute_command`` of redis-py does:
it looks for options, callbacks and caches that a script call has none of.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any
from weakref import WeakSet

import redis
from redis import exceptions as rx

from redisstore.connect.connection import Command, Connection, SyncClient, packed
from redisstore.errors import StoreClosed
from redisstore.fork import FreshAfterFork


class Exchange(FreshAfterFork):
    """Sends commands and returns their replies; ``max_size`` threads at once, others wait.

    The connection that was used last is used next, so there are as many as there were threads.
    Who has to wait is served first come, first served: what comes back goes to the first of them,
    for ``timeout`` seconds at most.
    """

    def __init__(
        self, connection: Connection[SyncClient], *, max_size: int, timeout: float
    ) -> None:
        self._connection = connection
        self._max_size = max_size
        self._timeout = timeout
        self._closed = False
        super().__init__()

    def _start_afresh(self) -> None:
        self._idle: deque[Any] = deque()
        # Weak: what a signal's handler tore out of a call is collected, and its place is free.
        self._live: WeakSet[Any] = WeakSet()
        self._waiting: deque[SimpleQueue[Any]] = deque()
        self._lock = threading.RLock()

    def execute_command(self, *command: str | bytes | int) -> Any:  # noqa: ANN401 - any reply
        """Run one command; raises what redis-py raises."""
        connection = self._acquire()
        try:
            connection.send_packed_command([packed(command)])
            reply = connection.read_response()
        except BaseException as error:
            if isinstance(error, rx.ResponseError) and not isinstance(error, rx.ReadOnlyError):
                self._release(connection)
            else:
                self._discard(connection)
            raise
        self._release(connection)
        return reply

    def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one round trip; a reply that is an error is returned as it is."""
        connection = self._acquire()
        try:
            connection.send_packed_command([*map(packed, commands)])
            replies = [_reply_of(connection) for _ in commands]
        except BaseException:
            self._discard(connection)
            raise
        if any(isinstance(reply, rx.ReadOnlyError) for reply in replies):
            self._discard(connection)
        else:
            self._release(connection)
        return replies

    def close(self) -> None:
        """Disconnect what is idle, and what is in use as soon as its call has ended; for good.

        Who waits for a connection, or asks for one later, gets ``StoreClosed``.
        """
        with self._lock:
            self._closed = True
            self._live = WeakSet()
            while self._waiting:
                self._waiting.popleft().put(None)
        self._drop_idle()

    def _acquire(self) -> Any:  # noqa: ANN401 - redis-py's connections share no type
        if not self._waiting:
            try:
                return self._idle.pop()
            except IndexError:
                pass  # a context manager takes longer than all the rest here
        connection = self._awaited()
        if connection is None:
            raise StoreClosed
        try:
            connection.connect()  # only this asks a sentinel where the master is
        except BaseException:
            self._discard(connection)
            raise
        return connection

    def _awaited(self) -> Any:  # noqa: ANN401 - likewise
        """Wait for a connection, and return it; ``None``: this was closed."""
        own: SimpleQueue[Any] = SimpleQueue()
        try:
            with self._lock:
                if self._closed:
                    return None
                self._waiting.append(own)
                self._hand_over()
            return own.get(timeout=self._timeout)
        except BaseException as error:
            with self._lock:
                self._hand_over()  # places of what was lost are free without a word
                with contextlib.suppress(ValueError):
                    self._waiting.remove(own)
            late = None if own.empty() else own.get()
            if isinstance(error, Empty) and (late is not None or self._closed):
                return late
            if late is not None:
                self._release(late)
            if isinstance(error, Empty):
                raise rx.MaxConnectionsError("No connection available.") from None
            raise

    def _hand_over(self) -> None:
        """Give those who wait, the first one first, what is idle or may be made."""
        with self._lock:
            while self._waiting and (connection := self._idle_or_made()) is not None:
                self._waiting[0].put(connection)
                self._waiting.popleft()

    def _idle_or_made(self) -> Any:  # noqa: ANN401 - likewise
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        if len(self._live) >= self._max_size:
            return None
        # The pool would count what it makes, and keep it, for ever.
        client: Any = self._connection.client
        pool = client.connection_pool
        connection = pool.connection_class(**pool.connection_kwargs)
        self._live.add(connection)
        return connection

    def _release(self, connection: Any) -> None:  # noqa: ANN401 - likewise
        # First this, then the checks: who closes or waits looks for it after having said so.
        self._idle.append(connection)
        if connection not in self._live:
            self._drop_idle()  # closed meanwhile
        elif self._waiting:
            self._hand_over()

    def _discard(self, connection: Any) -> None:  # noqa: ANN401 - likewise
        """Drop a connection that may still get a reply, and the idle ones: they would fail next."""
        self._disconnect(connection)
        self._drop_idle()

    def _drop_idle(self) -> None:
        for _ in range(len(self._idle)):  # not those that come meanwhile
            with contextlib.suppress(IndexError):  # another thread may be at it too
                self._disconnect(self._idle.popleft())
        if self._waiting:
            self._hand_over()

    def _disconnect(self, connection: Any) -> None:  # noqa: ANN401 - likewise
        self._live.discard(connection)
        connection.disconnect()


def exchange_for(connection: Connection[SyncClient], timeout: float) -> Exchange | None:
    """Return what runs the calls of a client; ``None``: the client has to do it by itself.

    A Cluster's client finds the nodes, fakeredis has no connections, a cache reads what is sent.
    """
    client = connection.client
    if isinstance(client, redis.RedisCluster) or connection.imitated:
        return None
    pool: Any = client.connection_pool
    if getattr(pool, "cache", None) is not None:
        return None
    return Exchange(connection, max_size=pool.max_connections, timeout=timeout)


def _reply_of(connection: Any) -> Any:  # noqa: ANN401 - likewise
    try:
        return connection.read_response()
    except rx.ResponseError as error:
        return error
