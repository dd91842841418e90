"""Clients of a Redis Cluster that run a call once, and let callers wait for a connection.

Their retries are off, but MOVED and ASK are followed: redis-py does that in a loop of its own.
A sync pipeline of theirs is not that strict: it runs commands again, one by one, whose connection
was lost. So the runner pipelines to each node by itself.

redis-py's node pools raise when they are exhausted, and its blocking pool does not fit a Cluster:
a caller that refreshes the topology after a failure keeps its connection meanwhile, so that
callers would wait for one another. So it is the calls that are bounded, over all nodes.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import Any

import redis
import redis.asyncio
from redis import exceptions as rx
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry

from redisstore.config import StoreConfig
from redisstore.connect.settings import settings, tls_options
from redisstore.connect.url import Target
from redisstore.errors import StoreRefused
from redisstore.retry import FAILURES, Attempts

_SHORTEST_PATIENCE = 0.01
"""Seconds that a node gets to answer when there is no time left."""
_ROOM = 2
"""Connections a node may have, in multiples of ``max_connections``.

More than the calls need: pipelines and refreshes of the topology are not bounded here.
"""


class BoundedCluster(redis.RedisCluster):
    """A Cluster client in which at most so many calls run at once; others wait."""

    def __init__(self, *, max_calls: int, patience: float, **options: Any) -> None:  # noqa: ANN401
        self._calls = threading.BoundedSemaphore(max_calls)
        self._patience = patience
        super().__init__(**options)

    def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's own
        """Run a command when it is its turn.

        Raises:
            redis.exceptions.MaxConnectionsError: it was not within ``patience`` seconds.

        """
        if not self._calls.acquire(timeout=self._patience):
            raise rx.MaxConnectionsError("No connection available.")
        try:
            run: Any = super().execute_command  # untyped in redis-py
            return run(*args, **options)
        finally:
            self._calls.release()

    def command(self, **_options: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401 - likewise
        """Let redis-py ask which commands there are when it has to know, not when this is made.

        It asks one primary, which may be away, and has to know for what is no script.
        """
        return {}


class AsyncBoundedCluster(redis.asyncio.RedisCluster):
    """The same for asyncio."""

    def __init__(self, *, max_calls: int, patience: float, **options: Any) -> None:  # noqa: ANN401
        self._calls = asyncio.BoundedSemaphore(max_calls)
        self._patience = patience
        super().__init__(**options)
        self.commands_parser: Any = _FirstKey()  # of redis-py, which has no public one

    async def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - likewise
        """Run a command when it is its turn.

        Raises:
            redis.exceptions.MaxConnectionsError: it was not within ``patience`` seconds.

        """
        try:
            async with asyncio.timeout(self._patience):
                await self._calls.acquire()
        except TimeoutError:
            raise rx.MaxConnectionsError("No connection available.") from None
        try:
            return await super().execute_command(*args, **options)
        finally:
            self._calls.release()

    async def aclose(self) -> None:
        """Disconnect from all nodes, also where redis-py would not.

        It takes a client that is to read the topology anew, after a failure or an earlier close,
        for one that has no connections.
        """
        self._initialize = False
        await super().aclose()


class _FirstKey:
    """Finds the key of a command that is no script: BLPOP is the one that a store sends.

    redis-py's own asks one primary for all commands, each time that the topology was read, and
    takes it for a failure of the Cluster where that one is away.
    """

    async def initialize(self, _node: object) -> None:
        """Ask nothing."""

    async def get_keys(self, _command: str, *arguments: str) -> tuple[str, ...]:
        """Return the first argument, as a tuple."""
        return arguments[:1]


def cluster_client(target: Target, config: StoreConfig) -> redis.RedisCluster:
    """Make a sync client; redis-py reads the topology at once, which is tried until the deadline.

    Raises:
        StoreUnavailable: no node could be reached.
        StoreRefused: one could, and refused the password or is not in a Cluster.

    """
    node: Any = ClusterNode  # untyped in redis-py
    failure: Exception | None = None
    attempts = Attempts(config.deadline, config.socket_timeout)
    for pause in attempts:
        time.sleep(pause)
        try:
            host, port = _answering(target, config, attempts)
            # It would ask each of several in turn, with a time-out for each. The others it learns.
            return BoundedCluster(
                startup_nodes=[node(host, port)],
                retry=Retry(NoBackoff(), 0),
                **_options(target, config),
            )
        except FAILURES as error:
            if refusal := _refusal(error):
                raise StoreRefused(f"{target.label}: {refusal}") from error
            failure = error
    raise attempts.exhausted(target.label, failure) from failure


def _answering(target: Target, config: StoreConfig, attempts: Attempts) -> tuple[str, int]:
    """Return the first node that answers, each having an even share of the time that is left."""
    options = _connecting(target, config)
    failure: Exception | None = None
    for tried, (host, port) in enumerate(random.sample(target.hosts, len(target.hosts))):
        share = attempts.left() / (len(target.hosts) - tried)
        patience = max(min(share, config.socket_timeout), _SHORTEST_PATIENCE)
        options |= {"socket_timeout": patience, "socket_connect_timeout": patience}
        client = redis.Redis(host=host, port=port, retry=Retry(NoBackoff(), 0), **options)
        try:
            client.ping()
        except (rx.AuthenticationError, rx.ResponseError):
            pass  # making the client tells what is refused
        except (rx.RedisError, OSError) as error:
            failure = error
            continue
        finally:
            client.close()
        return host, port
    raise rx.ConnectionError(f"no node answers: {failure}") from failure


def async_cluster_client(target: Target, config: StoreConfig) -> redis.asyncio.RedisCluster:
    """Make an asyncio client; it reads the topology at its first call."""
    return AsyncBoundedCluster(
        startup_nodes=[AsyncClusterNode(host, port) for host, port in target.hosts],
        retry=AsyncRetry(NoBackoff(), 0),
        **_options(target, config),
    )


def _options(target: Target, config: StoreConfig) -> dict[str, Any]:
    return {
        "max_calls": config.max_connections,
        "patience": config.deadline,
        "max_connections": _ROOM * config.max_connections,
        **_connecting(target, config),
    }


def _connecting(target: Target, config: StoreConfig) -> dict[str, Any]:
    tls = {"ssl": True, **tls_options(target)} if target.tls else {}
    return {"socket_keepalive": True, **settings(target, config), **tls}


def _refusal(error: BaseException) -> BaseException | None:
    """Find out why a Cluster can't be used: redis-py wraps the reason once or twice."""
    reason: BaseException | None = error
    while reason is not None:
        refused = isinstance(reason, rx.AuthenticationError | rx.ResponseError)
        if refused and not isinstance(reason, rx.BusyLoadingError | rx.ClusterDownError):
            return reason
        reason = reason.__cause__ or reason.__context__
    return None
