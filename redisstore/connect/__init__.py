"""From a URL, or a client that the user made, to a client that redisstore can rely on.

* `url`: what a URL says; * `connection`: what a caller gets; * `clients`: URL to client;
* `cluster`, `sentinel`, `memory`: the kinds of client that redis-py does not make as we need them;
* `adopted`: clients that the user made; `held`: what a forked child does about the others;
* `exchange`: how threads send calls; `line`, `lines`: how tasks do, over a connection they share;
* `pipelines`: how both send many at once;
* `waits`, `async_waits`: how they block, by clients that `waiting` makes;
* `cancellation`: how a cancelled task gets out of redis-py.
"""

from __future__ import annotations

from redisstore.connect.adopted import adopt, adopt_async
from redisstore.connect.async_waits import AsyncWaits
from redisstore.connect.clients import connect, connect_async
from redisstore.connect.connection import AsyncClient, Command, Connection, SyncClient
from redisstore.connect.exchange import exchange_for
from redisstore.connect.lines import Lines
from redisstore.connect.pipelines import execute_all, execute_all_async
from redisstore.connect.waits import Waits

__all__ = [
    "AsyncClient",
    "AsyncWaits",
    "Command",
    "Connection",
    "Lines",
    "SyncClient",
    "Waits",
    "adopt",
    "adopt_async",
    "connect",
    "connect_async",
    "exchange_for",
    "execute_all",
    "execute_all_async",
]
