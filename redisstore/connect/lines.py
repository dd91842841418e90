"""The lines of an ``AsyncSessionStore``: one to the server, on Cluster one to each master."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import redis.asyncio
from redis import exceptions as rx
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from redisstore.config import StoreConfig
from redisstore.connect.connection import AsyncClient
from redisstore.connect.line import Line, open_line

_ONLY = ""
_FIRST_KEY = 3
"""Where EVALSHA and EVAL have it."""


class Lines:
    """Opens lines when they are needed, once for all who wait, and sends script calls over them.

    They are no part of the client's pool. What fails here is for the client to repeat: it knows
    how to find a slot that has moved, a new master, and a node that has come back.
    """

    def __init__(self, client: AsyncClient, config: StoreConfig) -> None:
        self._client: Any = client
        self._clustered = isinstance(client, redis.asyncio.RedisCluster)
        self._longest = config.deadline
        self._lines: dict[str, Line] = {}
        self._opening: dict[str, asyncio.Task[Line]] = {}

    async def execute_command(self, *command: str | bytes | int) -> Any:  # noqa: ANN401 - any reply
        """Run EVALSHA or EVAL.

        Raises:
            redis.exceptions.RedisError: as redis-py does.

        """
        server, connection = _ONLY, self._client.connection_pool.make_connection
        if self._clustered:
            server, connection = await self._node_of(command[_FIRST_KEY])
        line = self._lines.get(server)
        if line is None or not line.usable:
            line = await self._opened(server, connection)
        try:
            return await line.send(command)
        except rx.ReadOnlyError:
            line.close()  # what was the master is none any more
            raise

    async def close(self) -> None:
        """Close all lines of this event loop; calls that are under way fail."""
        loop = asyncio.get_running_loop()
        opening = [one for one in self._opening.values() if one.get_loop() is loop]
        for one in opening:
            one.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for line in self._lines.values():
            if line.usable:
                line.close()
        self._lines.clear()

    async def _node_of(self, key: Any) -> tuple[str, Callable[[], AbstractConnection]]:  # noqa: ANN401
        if not self._client.nodes_manager.slots_cache:
            await self._client.initialize()
        node = self._client.get_node_from_key(key)

        def connection() -> AbstractConnection:
            made: AbstractConnection = node.connection_class(
                **{**node.connection_kwargs, "retry": Retry(NoBackoff(), 0)}
            )
            return made

        return node.name, connection

    async def _opened(self, server: str, connection: Callable[[], AbstractConnection]) -> Line:
        opening = self._opening.get(server)
        if opening is None or opening.get_loop() is not asyncio.get_running_loop():
            opening = asyncio.create_task(self._open(server, connection()))
            opening.add_done_callback(_heard)
            self._opening[server] = opening
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled() and not _is_cancelled(asyncio.current_task()):
                raise rx.ConnectionError("the store was closed") from None
            raise

    async def _open(self, server: str, connection: AbstractConnection) -> Line:
        try:
            async with asyncio.timeout(self._longest):
                self._lines[server] = line = await open_line(connection, self._longest)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            del self._opening[server]
        return line


def _is_cancelled(task: asyncio.Task[Any] | None) -> bool:
    return task is not None and task.cancelling() > 0


def _heard(opening: asyncio.Task[Line]) -> None:
    """Whoever asked for it may be gone: asyncio would say that nobody heard of a failure."""
    if not opening.cancelled():
        opening.exception()
