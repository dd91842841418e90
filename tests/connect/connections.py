"""Configurations, and what is asked of the connections made from them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import redis.asyncio
from redis import exceptions as rx

from redisstore import AsyncSessionStore
from redisstore.config import StoreConfig
from redisstore.connect import AsyncClient, Connection, connect, connect_async


def config(url: str, **settings: float) -> StoreConfig:
    given: dict[str, Any] = {"replica": "gateway 1", "socket_timeout": 1.0, **settings}
    return StoreConfig(url=url, **given)


def ping(url: str, **settings: float) -> dict[str, Any]:
    """Ask through a sync client, and return what the server says of its connection."""
    connection = connect(config(url, **settings))
    client: Any = connection.client
    try:
        about = client.client_info()
    finally:
        client.close()
    return {**about, "label": connection.label}


async def ping_async(url: str, **settings: float) -> dict[str, Any]:
    """The same through an asyncio client."""
    connection = connect_async(config(url, **settings))
    client: Any = connection.client
    try:
        about = await client.client_info()
    finally:
        await client.aclose()
    return {**about, "label": connection.label}


async def close(connection: Connection[Any]) -> None:
    """Close the client of a connection, whichever kind it is."""
    if isinstance(connection.client, redis.asyncio.Redis | redis.asyncio.RedisCluster):
        await connection.client.aclose()
    else:
        connection.client.close()


async def eventually(client: AsyncClient, key: str) -> object:
    """Read a key as soon as the server is to be reached again, within ten seconds."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return await client.get(key)
        except rx.RedisError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


def of(url: str, **settings: Any) -> AsyncSessionStore:
    """Open an asyncio store whose connections are told by their name, `redisstore-lines`."""
    return AsyncSessionStore.from_url(config=StoreConfig(url=url, replica="lines", **settings))
