"""URLs to clients. Except for a sync Cluster client and an embedded server, none does I/O here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
import redis.asyncio
from redis.asyncio import connection as aio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import (
    BlockingConnectionPool,
    Connection as TcpConnection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.retry import Retry

from redisstore.config import StoreConfig
from redisstore.connect.cluster import async_cluster_client, cluster_client
from redisstore.connect.connection import AsyncClient, Connection, SyncClient
from redisstore.connect.memory import async_memory_client, memory_client
from redisstore.connect.sentinel import async_sentinel_client, sentinel_client
from redisstore.connect.settings import settings, tls_options
from redisstore.connect.url import Target, parse
from redisstore.embedded import EmbeddedServer, default_directory

_SYNC: dict[str, Callable[[Target, StoreConfig], SyncClient]]
_ASYNC: dict[str, Callable[[Target, StoreConfig], AsyncClient]]
