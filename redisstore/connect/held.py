"""Clients that a process made for itself: a forked child lets go of its parent's, and has its own.

redis-py does that for the connections of a pool only. The locks of its pools, and of its Cluster
client and what that knows of the nodes, may be locked in the child by threads that only the parent
has; and some of them are taken even when a client is closed, or collected.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import redis

from redisstore.fork import FreshAfterFork

ClientT = TypeVar("ClientT")


class Held(FreshAfterFork, Generic[ClientT]):
    """A client, made when it is first asked for; in a forked child it is made again then."""

    def __init__(
        self,
        make: Callable[[], ClientT],
        *,
        made: ClientT | None = None,
        given: ClientT | None = None,
    ) -> None:
        """``made``: made already. ``given``: the user's own, which is not closed nor let go of."""
        self._make = make
        self._given = given
        self._client: ClientT | None = None
        super().__init__()
        self._client = made

    def _start_afresh(self) -> None:
        # Signals' handlers may call what they have interrupted.
        self._lock = threading.RLock()
        if self._client is not None and self._client is not self._given:
            _let_go(self._client)
            self._client = None

    @property
    def client(self) -> ClientT:
        """The client of this process; raises what making it raises."""
        client = self._client
        return self._made() if client is None else client

    @property
    def made(self) -> ClientT | None:
        """The same if this process has made it."""
        return self._client

    def close(self) -> None:
        """Close the client if this process has one; it can be used again, as redis-py's can."""
        client: Any = self._client
        if client is not None and client is not self._given:
            client.close()

    def _made(self) -> ClientT:
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client


def _let_go(client: Any) -> None:  # noqa: ANN401 - any sync client of redis-py's
    """Have a client closed by nobody, so that no lock is waited for when it is collected.

    Its sockets are closed then, in this process alone.
    """
    for each in (client, *_parts(client)):
        each.close = _nothing


def _parts(client: Any) -> list[Any]:  # noqa: ANN401 - likewise
    """Return the clients that a client has: of the nodes, or of the sentinels."""
    if not isinstance(client, redis.RedisCluster):
        sentinel = getattr(client.connection_pool, "sentinel_manager", None)
        return [] if sentinel is None else list(sentinel.sentinels)
    cluster: Any = client  # untyped in redis-py
    told = getattr(cluster, "startup_nodes", ())  # not before redis-py 7
    nodes = (*told, *cluster.nodes_manager.startup_nodes.values(), *cluster.get_nodes())
    return [node.redis_connection for node in nodes if node.redis_connection is not None]


def _nothing() -> None:
    """Close nothing."""
