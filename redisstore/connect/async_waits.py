"""Waits of tasks: each blocks on a connection of its own until it is woken, or all are ended."""

from __future__ import annotations

import asyncio
from typing import Any

from redisstore.connect.cancellation import interruptible, is_cancelled
from redisstore.connect.connection import AsyncClient, Connection
from redisstore.connect.waits import blpop
from redisstore.errors import StoreClosed


class AsyncWaits:
    """Blocks tasks on lists of Redis, over a client for waits that is made when it is needed."""

    def __init__(self, connection: Connection[AsyncClient], slack: float) -> None:
        self._connection = connection
        self._slack = slack
        self._client: Any = None
        self._closed = asyncio.Event()
        self._blocked: set[asyncio.Task[Any]] = set()

    async def wait(self, key: str, seconds: float) -> None:
        """Block until something is pushed, for so many seconds at most.

        Raises:
            StoreClosed: this was closed, before or meanwhile.
            redis.exceptions.RedisError: as redis-py does.
            OSError: likewise.

        """
        if self._closed.is_set():
            raise StoreClosed
        if self._client is None:
            self._client = self._connection.waiting()
        blocking = asyncio.create_task(self._client.execute_command(*blpop(key, seconds)))
        self._blocked.add(blocking)
        try:
            await interruptible(blocking, seconds + self._slack)
        except asyncio.CancelledError:
            if self._closed.is_set() and not is_cancelled():
                raise StoreClosed from None
            raise
        finally:
            self._blocked.discard(blocking)

    async def close(self) -> None:
        """End all waits, for good."""
        self._closed.set()
        blocked = tuple(self._blocked)
        for blocking in blocked:
            blocking.cancel()
        # Some clients can't be made again, and are used for waits too.
        if self._client is not None and self._client is not self._connection.client:
            if blocked:
                await asyncio.wait(blocked)
            await self._client.aclose()
