"""URLs to clients. Except for a sync Cluster client and an embedded server, none does I/O here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import redis
import redis.asyncio
from redis import connection as sync_pools
from redis.asyncio import connection as async_pools
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisstore.config import StoreConfig
from redisstore.connect.cluster import async_cluster_client, cluster_client
from redisstore.connect.connection import AsyncClient, Connection, SyncClient
from redisstore.connect.held import Held
from redisstore.connect.memory import async_memory_client, memory_client
from redisstore.connect.sentinel import async_sentinel_client, sentinel_client
from redisstore.connect.settings import settings, tls_options
from redisstore.connect.url import Kind, Target, parse
from redisstore.connect.waiting import (
    async_beside,
    async_waiting_config,
    beside,
    waiting_config,
)
from redisstore.embedded import EmbeddedServer, default_directory


def connect(config: StoreConfig) -> Connection[SyncClient]:
    """Make the client that ``config.url`` asks for. It never tries anything twice by itself.

    An embedded server is started; a Cluster client reads the topology. Any other connects at its
    first call.

    Raises:
        InvalidInput: the URL is wrong, or needs a package that is not installed.
        StoreUnavailable: an embedded server, or a Cluster, can't be reached.
        StoreRefused: a Cluster was reached and refused.

    """
    target, revive = _ready(parse(config.url))
    make = partial(_SYNC[target.kind], target)
    client = make(config)
    if target.kind == "memory":  # a private imitation can't be found a second time
        return _connection(
            Held(lambda: client, made=client), target, revive, lambda: beside(client, config)
        )
    held = Held(lambda: make(config), made=client)
    return _connection(held, target, revive, lambda: make(waiting_config(config)))


def connect_async(config: StoreConfig) -> Connection[AsyncClient]:
    """Make the asyncio client that ``config.url`` asks for, as `connect` does.

    Nothing is awaited: a Cluster client connects at its first call too. Starting an embedded
    server blocks for about 50 ms, longer when it has much to load.

    Raises:
        InvalidInput: the URL is wrong, or needs a package that is not installed.
        StoreUnavailable: an embedded server can't be started.

    """
    target, revive = _ready(parse(config.url))
    client = _ASYNC[target.kind](target, config)

    def waiting() -> AsyncClient:
        if target.kind == "memory":
            return async_beside(client, config)
        return _ASYNC[target.kind](target, async_waiting_config(config))

    return _connection(Held(lambda: client, given=client), target, revive, waiting)


def _connection(
    held: Held[Any],  # sync or asyncio, as the caller's annotation says
    target: Target,
    revive: Callable[[float], None] | None,
    waiting: Callable[[], Any],
) -> Connection[Any]:
    return Connection(
        held=held,
        owned=True,
        clustered=target.kind == "cluster",
        imitated=target.kind == "memory",
        revive=revive,
        label=target.label,
        waiting=waiting,
    )


def _ready(target: Target) -> tuple[Target, Callable[[float], None] | None]:
    """Start the server of an embedded target, and return where it is reached."""
    if target.kind != "embedded":
        return target, None
    directory = Path(target.path) if target.path else default_directory()
    server = EmbeddedServer(directory, appendfsync=target.appendfsync)
    server.ensure_running()
    return replace(target, kind="unix", path=str(server.socket_path)), server.ensure_running


def _single(target: Target, config: StoreConfig) -> redis.Redis:
    options = _pool_options(target, config)
    connection_class: type[Any] = sync_pools.Connection
    if target.kind == "unix":
        connection_class = sync_pools.UnixDomainSocketConnection
    elif target.tls:
        connection_class = sync_pools.SSLConnection
    pool: Any = sync_pools.BlockingConnectionPool  # untyped in redis-py
    return redis.Redis.from_pool(
        pool(connection_class=connection_class, retry=Retry(NoBackoff(), 0), **options)
    )


def _async_single(target: Target, config: StoreConfig) -> redis.asyncio.Redis:
    options = _pool_options(target, config)
    connection_class: type[Any] = async_pools.Connection
    if target.kind == "unix":
        connection_class = async_pools.UnixDomainSocketConnection
    elif target.tls:
        connection_class = async_pools.SSLConnection
    pool = async_pools.BlockingConnectionPool(
        connection_class=connection_class, retry=AsyncRetry(NoBackoff(), 0), **options
    )
    return redis.asyncio.Redis.from_pool(pool)


def _pool_options(target: Target, config: StoreConfig) -> dict[str, Any]:
    options = {
        **settings(target, config),
        "db": target.db,
        "max_connections": config.max_connections,
        "timeout": config.deadline,
    }
    if target.kind == "unix":
        return {**options, "path": target.path}
    ((host, port),) = target.hosts
    tls = tls_options(target) if target.tls else {}
    return {**options, **tls, "host": host, "port": port, "socket_keepalive": True}


_SYNC: dict[Kind, Callable[[Target, StoreConfig], SyncClient]] = {
    "single": _single,
    "unix": _single,
    "cluster": cluster_client,
    "sentinel": sentinel_client,
    "memory": memory_client,
}
_ASYNC: dict[Kind, Callable[[Target, StoreConfig], AsyncClient]] = {
    "single": _async_single,
    "unix": _async_single,
    "cluster": async_cluster_client,
    "sentinel": async_sentinel_client,
    "memory": async_memory_client,
}
