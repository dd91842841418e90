"""Clients that the user made: checked for what would go wrong later, and their retries off."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from functools import partial
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.client import Pipeline as AsyncPipeline
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.cluster import ClusterPipeline
from redis.connection import BlockingConnectionPool
from redis.retry import Retry

from redisstore.config import StoreConfig
from redisstore.connect.connection import AsyncClient, Connection, SyncClient
from redisstore.connect.held import Held
from redisstore.connect.waiting import async_beside, beside
from redisstore.errors import InvalidInput

_SYNC = (redis.Redis, redis.RedisCluster)
_ASYNC = (redis.asyncio.Redis, redis.asyncio.RedisCluster)
_PIPELINES = (Pipeline, ClusterPipeline, AsyncPipeline)


def adopt(client: SyncClient, config: StoreConfig) -> Connection[SyncClient]:
    """Take over a sync redis-py client. Its timeouts and its pool stay as they are, and it open.

    Its own retries (10 by default) are switched off, for all who use it: the store repeats calls
    itself, and redis-py would go on for longer than the server knows that a call was repeated.

    Raises:
        InvalidInput: it is an asyncio client, a pipeline, no redis-py client at all, or it
            decodes replies or encodes text other than as UTF-8.

    """
    given: object = client
    if isinstance(given, _ASYNC):
        raise InvalidInput("client", "is an asyncio client, which AsyncSessionStore takes")
    clustered = isinstance(client, redis.RedisCluster)
    retry = Retry(NoBackoff(), 0)
    return _adopted(client, _SYNC, retry, partial(beside, client, config), clustered=clustered)


def adopt_async(client: AsyncClient, config: StoreConfig) -> Connection[AsyncClient]:
    """Take over an asyncio redis-py client, as `adopt` does a sync one.

    Raises:
        InvalidInput: it is a sync client, or as for `adopt`.

    """
    given: object = client
    if isinstance(given, _SYNC):
        raise InvalidInput("client", "is a sync client, which SessionStore takes")
    clustered = isinstance(client, redis.asyncio.RedisCluster)
    retry = AsyncRetry(NoBackoff(), 0)
    waiting = partial(async_beside, client, config)
    return _adopted(client, _ASYNC, retry, waiting, clustered=clustered)


def _adopted(
    client: Any,  # noqa: ANN401 - what it is, is what is checked
    kinds: tuple[type[Any], ...],
    retry: Retry | AsyncRetry,
    waiting: Callable[[], Any],
    *,
    clustered: bool,
) -> Connection[Any]:
    kind = type(client)
    if not issubclass(kind, kinds) or issubclass(kind, _PIPELINES):
        wanted = " or ".join(f"{known.__module__}.{known.__qualname__}" for known in kinds)
        raise InvalidInput("client", f"must be a {wanted}, not a {kind.__qualname__}")
    encoder = client.encoder if clustered else client.connection_pool.get_encoder()
    if encoder.decode_responses:
        raise InvalidInput("client", "decodes replies; make it without decode_responses=True")
    if codecs.lookup(encoder.encoding).name != "utf-8":
        raise InvalidInput("client", f"encodes as {encoder.encoding}; make it with utf-8")
    _switch_off_retries(client, retry, clustered=clustered)
    return Connection(
        held=Held(lambda: client, given=client),
        owned=False,
        clustered=clustered,
        imitated=_imitated(client, clustered=clustered),
        revive=None,
        label=_label(client, clustered=clustered),
        waiting=waiting,
    )


def _switch_off_retries(
    client: Any,  # noqa: ANN401 - any of the four kinds
    retry: Retry | AsyncRetry,
    *,
    clustered: bool,
) -> None:
    if clustered or not isinstance(client.connection_pool, BlockingConnectionPool):
        client.set_retry(retry)
        return
    # For a blocking pool, redis-py 8.1 has that method from another pool, and it fails.
    pool: Any = client.connection_pool
    pool.connection_kwargs["retry"] = retry
    for connection in pool._connections:  # noqa: SLF001 - nothing public lists them
        connection.retry = retry


def _imitated(client: Any, *, clustered: bool) -> bool:  # noqa: ANN401 - any of the four kinds
    """Say whether fakeredis answers. Its own client class is not needed to talk to it."""
    classes = [*type(client).__mro__]
    if not clustered:
        classes += client.connection_pool.connection_class.__mro__
    return any(one.__module__.partition(".")[0] == "fakeredis" for one in classes)


def _label(client: Any, *, clustered: bool) -> str:  # noqa: ANN401 - likewise
    if clustered:
        nodes = client.get_nodes() or client.nodes_manager.startup_nodes.values()
        return "redis+cluster://" + ",".join(f"{node.host}:{node.port}" for node in nodes)
    pool = client.connection_pool
    if hasattr(pool, "service_name"):
        return f"redis+sentinel:{pool.service_name}"
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}"
    secure = any(one.__name__ == "SSLConnection" for one in pool.connection_class.__mro__)
    place = f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return f"{'rediss' if secure else 'redis'}://{place}/{options.get('db', 0)}"
