"""The lines of an ``AsyncSessionStore``: one to the server, on Cluster one to each master."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import redis.asyncio
from redis import exceptions as rx
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from redisstore.config import StoreConfig
from redisstore.connect.cancellation import is_cancelled
from redisstore.connect.connection import AsyncClient
from redisstore.connect.line import Line, open_line

_ONLY = ""
_FIRST_KEY = 3
"""Where EVALSHA and EVAL have it."""


class Lines:
    """Opens lines when they are needed, once for all who wait, and sends script calls over them.

    They are no part of the client's pool, and each belongs to the event loop that opened it. What
    fails here is for the client to repeat: it knows how to find a slot that has moved, and a new
    master.
    """

    def __init__(self, client: AsyncClient, config: StoreConfig) -> None:
        self._client: Any = client
        self._clustered = isinstance(client, redis.asyncio.RedisCluster)
        self._longest = config.deadline
        self._of_loops: dict[asyncio.AbstractEventLoop, _LinesOfLoop] = {}

    async def execute_command(self, *command: str | bytes | int) -> Any:  # noqa: ANN401 - any reply
        """Run EVALSHA or EVAL, within the deadline.

        Raises:
            redis.exceptions.RedisError: as redis-py does.
            OSError: likewise; a time-out is one.

        """
        lines = self._of_loops.get(asyncio.get_running_loop()) or self._of_this_loop()
        line: Line | None = None
        try:
            if not self._clustered:
                line = lines.open.get(_ONLY)
            elif self._client.nodes_manager.slots_cache:
                line = lines.open.get(self._client.get_node_from_key(command[_FIRST_KEY]).name)
            if line is None or not line.usable:
                async with asyncio.timeout(self._longest):
                    if self._clustered and not self._client.nodes_manager.slots_cache:
                        await self._client.initialize()
                    line = await self._opened(lines, command[_FIRST_KEY])
                    return await line.send(command)
            return await line.send(command)
        except rx.ReadOnlyError:
            if line is not None:
                line.close()  # what was the master is none any more
            raise
        except (rx.ConnectionError, rx.TimeoutError, OSError):
            if self._clustered:
                # The client's next call reads anew who serves which slots.
                self._client._initialize = True  # noqa: SLF001 - nothing public asks for it
            raise

    async def close(self) -> None:
        """Close all lines of this event loop; calls that are under way fail."""
        lines = self._of_loops.pop(asyncio.get_running_loop(), None)
        if lines is None:
            return
        for line in lines.open.values():
            line.close()
        opening = tuple(lines.opening.values())
        for one in opening:
            one.cancel()  # one that is open by now sees that it is late, and closes
        await asyncio.gather(*opening, return_exceptions=True)

    def _of_this_loop(self) -> _LinesOfLoop:
        for loop in tuple(self._of_loops):
            if loop.is_closed():
                self._of_loops.pop(loop, None)
        return self._of_loops.setdefault(asyncio.get_running_loop(), _LinesOfLoop({}, {}))

    def _connection_for(self, key: Any) -> tuple[str, AbstractConnection]:  # noqa: ANN401 - as redis-py takes it
        """Return a new connection to the server of a key, with the server's name."""
        if not self._clustered:
            pool = self._client.connection_pool
            return _ONLY, pool.connection_class(**pool.connection_kwargs)
        node = self._client.get_node_from_key(key)
        options = {**node.connection_kwargs, "retry": Retry(NoBackoff(), 0)}
        return node.name, node.connection_class(**options)

    async def _opened(self, lines: _LinesOfLoop, key: Any) -> Line:  # noqa: ANN401 - likewise
        server, connection = self._connection_for(key)
        opening = lines.opening.get(server)
        if opening is None:
            opening = asyncio.create_task(self._open(lines, server, connection))
            opening.add_done_callback(_heard)
            lines.opening[server] = opening
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled() and not is_cancelled():
                raise rx.ConnectionError("the store was closed") from None
            raise

    async def _open(self, lines: _LinesOfLoop, server: str, connection: AbstractConnection) -> Line:
        try:
            async with asyncio.timeout(self._longest):
                line = await open_line(connection, self._longest)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            del lines.opening[server]
        if self._of_loops.get(asyncio.get_running_loop()) is not lines:
            line.close()
            raise rx.ConnectionError("the store was closed")
        lines.open[server] = line
        return line


class _LinesOfLoop(NamedTuple):
    """What an event loop has: lines, and those that are being opened, by the server's name."""

    open: dict[str, Line]
    opening: dict[str, asyncio.Task[Line]]


def _heard(opening: asyncio.Task[Line]) -> None:
    """Whoever asked for it may be gone: asyncio would say that nobody heard of a failure."""
    if not opening.cancelled():
        opening.exception()
