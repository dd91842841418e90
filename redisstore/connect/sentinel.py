"""Clients of the master that sentinels name, with pools that let callers wait."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.connection import BlockingConnectionPool as AsyncBlockingConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.backoff import NoBackoff
from redis.connection import BlockingConnectionPool
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from redisstore.config import StoreConfig
from redisstore.connect.settings import connection_options, settings, tls_options
from redisstore.connect.url import Target


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """A blocking pool of connections to the present master.

    Closing it closes the connections to the sentinels too, which redis-py leaves open.
    """

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect from the master, and from the sentinels unless only idle ones are meant."""
        if inuse_connections:
            super().disconnect()
            for sentinel in self.sentinel_manager.sentinels:
                sentinel.close()
            return
        # Not left to redis-py: before version 7 its blocking pools can't spare those in use.
        for connection in list(self.pool.queue):
            if connection is not None:
                connection.disconnect()


class AsyncSentinelPool(AsyncSentinelConnectionPool, AsyncBlockingConnectionPool):
    """The same for asyncio."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect from the master, and from the sentinels unless only idle ones are meant."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


def sentinel_client(target: Target, config: StoreConfig) -> redis.Redis:
    """Make a sync client; it asks the sentinels at its first call."""
    retry = Retry(NoBackoff(), 0)
    make: Any = Sentinel  # untyped in redis-py
    sentinel = make(target.hosts, sentinel_kwargs=_to_sentinels(target, config, retry))
    master: redis.Redis = sentinel.master_for(
        target.name, connection_pool_class=SentinelPool, **_to_master(target, config, retry)
    )
    return master


def async_sentinel_client(target: Target, config: StoreConfig) -> redis.asyncio.Redis:
    """Make an asyncio client; it asks the sentinels at its first call."""
    retry = AsyncRetry(NoBackoff(), 0)
    make: Any = AsyncSentinel
    sentinel = make(target.hosts, sentinel_kwargs=_to_sentinels(target, config, retry))
    master: redis.asyncio.Redis = sentinel.master_for(
        target.name, connection_pool_class=AsyncSentinelPool, **_to_master(target, config, retry)
    )
    return master


def _to_master(target: Target, config: StoreConfig, retry: Retry | AsyncRetry) -> dict[str, Any]:
    return {
        **settings(target, config),
        **_shared(target, retry),
        "db": target.db,
        "max_connections": config.max_connections,
        "timeout": config.deadline,
    }


def _to_sentinels(target: Target, config: StoreConfig, retry: Retry | AsyncRetry) -> dict[str, Any]:
    return {
        **connection_options(config),
        **_shared(target, retry),
        "username": target.sentinel_username,
        "password": target.sentinel_password,
        "protocol": 2,
        # Each connection to the master that is being made asks a sentinel.
        "max_connections": config.max_connections,
    }


def _shared(target: Target, retry: Retry | AsyncRetry) -> dict[str, Any]:
    tls = {"ssl": True, **tls_options(target)} if target.tls else {}
    return {"retry": retry, "socket_keepalive": True, **tls}
