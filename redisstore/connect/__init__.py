"""From a URL, or a client that the user made, to a client that redisstore can rely on.

* `url`: what a URL says; * `connection`: what a caller gets; * `clients`: URL to client;
* `cluster`, `sentinel`, `memory`: the kinds of client that redis-py does not make as we need them;
* `adopted`: clients that the user made.
"""

from __future__ import annotations

from redisstore.connect.adopted import adopt, adopt_async
from redisstore.connect.clients import connect, connect_async
from redisstore.connect.connection import AsyncClient, Connection, SyncClient

__all__ = [
    "AsyncClient",
    "Connection",
    "SyncClient",
    "adopt",
    "adopt_async",
    "connect",
    "connect_async",
]
