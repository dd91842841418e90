"""Clients for waits: a connection that blocks is nobody else's meanwhile, so they have their own.

They are made from the client that they stand beside, or like it; a client of the user's own that
talks to a Cluster or to sentinels can't be made again, and is used for waits too.
"""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.connection import BlockingConnectionPool as AsyncBlockingConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.connection import BlockingConnectionPool
from redis.sentinel import SentinelConnectionPool

from redisstore.config import StoreConfig
from redisstore.connect.connection import AsyncClient, SyncClient

PATIENCE = 86_400.0
"""Seconds a socket of an asyncio client may stay silent: its waits are bounded one by one."""


def waiting_config(config: StoreConfig) -> StoreConfig:
    """Return the settings that a client for waits is made with."""
    return config.model_copy(update={"max_connections": config.max_waits})


def async_waiting_config(config: StoreConfig) -> StoreConfig:
    """Return the same for asyncio, where a read has no time-out of its own."""
    return waiting_config(config).model_copy(update={"socket_timeout": PATIENCE})


def beside(client: SyncClient, config: StoreConfig) -> SyncClient:
    """Return a client to the same server, with a pool of its own where that can be made."""
    if isinstance(client, redis.RedisCluster):
        return client
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return client
    make: Any = BlockingConnectionPool  # untyped in redis-py
    return redis.Redis.from_pool(
        make(connection_class=pool.connection_class, **_options(pool, config))
    )


def async_beside(client: AsyncClient, config: StoreConfig) -> AsyncClient:
    """Return the same for asyncio."""
    if isinstance(client, redis.asyncio.RedisCluster):
        return client
    pool = client.connection_pool
    if isinstance(pool, AsyncSentinelConnectionPool):
        return client
    options: dict[str, Any] = {**_options(pool, config), "socket_timeout": PATIENCE}
    return redis.asyncio.Redis.from_pool(
        AsyncBlockingConnectionPool(connection_class=pool.connection_class, **options)
    )


def _options(pool: Any, config: StoreConfig) -> dict[str, Any]:  # noqa: ANN401 - sync or asyncio
    options = dict(pool.connection_kwargs)
    return options | {"max_connections": config.max_waits, "timeout": config.deadline}
