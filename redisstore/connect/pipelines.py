"""Pipelines of clients, for many calls at once where no exchange sends them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio

from redisstore.connect.cancellation import heeding
from redisstore.connect.connection import AsyncClient, Command, SyncClient


def execute_all(
    client: SyncClient, commands: Sequence[Command], keys: Sequence[str], replies: list[Any]
) -> None:
    """Run commands, each of which is about a key, and put what is replied in its place.

    There is one pipeline, on a Cluster one to each node.

    An error that is replied is put there too. Raises what redis-py raises; the replies that came
    before are in their places then.
    """
    for node, places in _places(client, keys).items():
        pipeline: Any = node.pipeline(transaction=False)
        for place in places:
            pipeline.execute_command(*commands[place])
        for place, reply in zip(places, pipeline.execute(raise_on_error=False), strict=True):
            replies[place] = reply


def _places(client: SyncClient, keys: Sequence[str]) -> dict[redis.Redis, list[int]]:
    # A pipeline of redis-py's Cluster client would send again, one after the other and each
    # with a time-out of its own, what a dead node did not answer.
    if not isinstance(client, redis.RedisCluster):
        return {client: list(range(len(keys)))}
    cluster: Any = client  # untyped in redis-py
    places: dict[redis.Redis, list[int]] = {}
    for place, key in enumerate(keys):
        node = cluster.get_redis_connection(cluster.get_node_from_key(key))
        places.setdefault(node, []).append(place)
    return places


async def execute_all_async(client: AsyncClient, commands: Sequence[Command]) -> list[Any]:
    """Run commands, and return the replies; an error that is replied is returned in its place.

    Raises what redis-py raises.
    """
    pipeline: Any = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    # A Cluster pipeline would send again by itself what failed.
    clustered = isinstance(client, redis.asyncio.RedisCluster)
    alone = {"allow_redirections": False} if clustered else {}
    replies: list[Any] = await heeding(pipeline.execute(raise_on_error=False, **alone))
    return replies
