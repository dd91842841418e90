"""``memory:``: a Redis imitated within this process by fakeredis, for tests and first steps."""

from __future__ import annotations

import importlib
import threading
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.connection import BlockingConnectionPool as AsyncBlockingConnectionPool
from redis.connection import BlockingConnectionPool

from redisstore.config import StoreConfig
from redisstore.connect.settings import client_name
from redisstore.connect.url import Target
from redisstore.errors import InvalidInput

_shared: dict[str, Any] = {}
"""The imitated servers that stores share, by name; they last as long as the process."""
_shared_lock = threading.Lock()


def memory_client(target: Target, config: StoreConfig) -> redis.Redis:
    """Make a sync client of a private or shared imitation.

    Raises:
        InvalidInput: fakeredis with Lua is not installed.

    """
    fakeredis = _fakeredis()
    imitation: redis.Redis = fakeredis.FakeRedis(**_options(fakeredis, target, config))
    pool = imitation.connection_pool
    waiting_pool: Any = BlockingConnectionPool  # untyped in redis-py
    return redis.Redis.from_pool(
        waiting_pool(
            connection_class=pool.connection_class, **_bounds(config), **pool.connection_kwargs
        )
    )


def async_memory_client(target: Target, config: StoreConfig) -> redis.asyncio.Redis:
    """Make an asyncio client of a private or shared imitation.

    Raises:
        InvalidInput: fakeredis with Lua is not installed.

    """
    fakeredis = _fakeredis()
    imitation: redis.asyncio.Redis = fakeredis.FakeAsyncRedis(**_options(fakeredis, target, config))
    pool = imitation.connection_pool
    return redis.asyncio.Redis.from_pool(
        AsyncBlockingConnectionPool(
            connection_class=pool.connection_class, **_bounds(config), **pool.connection_kwargs
        )
    )


def _options(fakeredis: Any, target: Target, config: StoreConfig) -> dict[str, Any]:  # noqa: ANN401 - a module
    return {
        "server": _server(fakeredis, target.name),
        "client_name": client_name(config.replica),
        "protocol": 2,
    }


def _bounds(config: StoreConfig) -> dict[str, Any]:
    return {"max_connections": config.max_connections, "timeout": config.deadline}


def _server(fakeredis: Any, name: str) -> Any:  # noqa: ANN401 - an optional package's module and object
    if not name:
        return fakeredis.FakeServer()
    with _shared_lock:
        if name not in _shared:
            _shared[name] = fakeredis.FakeServer()
        return _shared[name]


def _fakeredis() -> Any:  # noqa: ANN401 - an optional package's module
    try:
        importlib.import_module("lupa")
        return importlib.import_module("fakeredis")
    except ImportError as error:
        raise InvalidInput("url", "memory: needs pip install 'redisstore[memory]'") from error
