"""The runner of ``SessionStore``: the one place that sends its calls to Redis.

It sends each ``Call`` by EVALSHA (by EVAL where the server does not know the script), repeats it
within the deadline when a reply is lost, and raises nothing but ``RedisStoreError``.
``redisstore/aio/runner.py`` is its counterpart for asyncio; what both do alike is in ``retry.py``.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import redis
from redis import exceptions as rx

from redisstore.calls.call import Ask, Call, Found, ItemT, Steps, Sweep, Wait, Watch
from redisstore.calls.layout import Opening
from redisstore.config import StoreConfig
from redisstore.connect import Command, Connection, SyncClient, exchange_for
from redisstore.errors import RedisStoreError
from redisstore.retry import FAILURES, Attempts, tell_repeated, worth_repeating
from redisstore.scripts import Library, library
from redisstore.server_info import ServerInfo, ServerNode

T = TypeVar("T")
SCAN_COUNT = 500
PAUSE_AFTER_FAILED_WAIT = 0.2
"""Seconds before the look that follows a wait that failed."""
UNSENT = rx.ConnectionError("not sent: the pipeline broke before")
_log = logging.getLogger(__name__)


class Runner:
    """Runs calls for ``SessionStore``."""

    def __init__(
        self, connection: Connection[SyncClient], config: StoreConfig, opening: Opening
    ) -> None:
        self.connection = connection
        self.library: Library = library(shebang=connection.knows_shebang)
        self._opening = opening
        self._config = config
        self._waiting: SyncClient | None = None
        self._making = threading.Lock()
        self._closed = threading.Event()
        self._looks: set[threading.RLock] = set()
        self._exchange = exchange_for(connection, config.deadline)
        ways: Any = self._exchange or connection.client  # redis-py leaves execute_command untyped
        self._execute: Callable[..., Any] = ways.execute_command

    def run(self, call: Call[T]) -> T:
        """Run one call: one round trip, unless the server has to be told the script."""
        return self._run(call, self._attempts())

    def run_all(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Run independent calls, pipelined: one round trip for all, on Cluster one a node."""
        if len(calls) == 1:
            return [self.run(calls[0])]
        attempts = self._attempts()
        replies: list[Any] = [UNSENT] * len(calls)
        commands = [call.by_sha(self.library) for call in calls]
        try:
            if self._exchange is not None:
                replies = self._exchange.execute_all(commands)
            else:
                self._pipeline(calls, commands, replies)
        except FAILURES as error:
            tell_repeated(error)
        # A call that failed in the crowd is run again by itself, within what is left of the time.
        return [
            self._run(call, attempts) if isinstance(reply, Exception) else call.decode(reply)
            for call, reply in zip(calls, replies, strict=True)
        ]

    def _pipeline(
        self, calls: Sequence[Call[Any]], commands: Sequence[Command], replies: list[Any]
    ) -> None:
        for client, places in self._crowds(calls).items():
            pipeline: Any = client.pipeline(transaction=False)
            for place in places:
                pipeline.execute_command(*commands[place])
            for place, reply in zip(places, pipeline.execute(raise_on_error=False), strict=True):
                replies[place] = reply

    def _crowds(self, calls: Sequence[Call[Any]]) -> dict[redis.Redis, list[int]]:
        # A pipeline of redis-py's Cluster client would send again, one after the other and each
        # with a time-out of its own, what a dead node did not answer.
        client = self.connection.client
        if not isinstance(client, redis.RedisCluster):
            return {client: list(range(len(calls)))}
        crowds: dict[redis.Redis, list[int]] = {}
        for place, call in enumerate(calls):
            node: Any = client.get_node_from_key(call.keys[0])  # type: ignore[no-untyped-call]
            crowds.setdefault(client.get_redis_connection(node), []).append(place)
        return crowds

    def drive(self, sweep: Sweep[ItemT]) -> Iterator[ItemT]:
        """Run a sweep: make the calls it asks for and pass on the items it yields."""
        replies: list[Any] | None = None
        while True:
            try:
                step = sweep.send(replies)
            except StopIteration:
                return
            replies = None
            if isinstance(step, Ask):
                replies = self.run_all(step.calls)
            else:
                yield step.item

    def watch(self, watch: Watch[ItemT]) -> Iterator[ItemT]:
        """Run what need not end by itself; it ends when the store is closed."""
        look = threading.RLock()
        self._looks.add(look)
        try:
            replies: list[Any] | None = None
            while True:
                try:
                    step = watch.send(replies)
                except StopIteration:
                    return
                replies = None
                if isinstance(step, Ask):
                    with look:
                        if self._closed.is_set():
                            return
                        replies = self.run_all(step.calls)
                elif isinstance(step, Found):
                    yield step.item
                elif self._closed.wait(step.seconds):
                    return
        finally:
            self._looks.discard(look)

    def complete(self, steps: Steps[T]) -> T:
        """Carry out the steps of an operation, and return what it comes to."""
        outcome: list[Any] | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                returned: T = done.value
                return returned
            outcome = None
            if isinstance(step, Ask):
                outcome = self.run_all(step.calls)
            else:
                self._wait(step)

    def _wait(self, wait: Wait) -> None:
        """Block until woken, on a connection of its own. A failure wakes too: the look tells."""
        pool = self._pool_for(wait.key)
        try:
            connection = pool.get_connection()
        except FAILURES as error:
            self._wait_failed(wait, error)
            return
        try:
            connection.send_command("BLPOP", wait.key, f"{wait.seconds:.3f}")
            if connection.can_read(timeout=wait.seconds + self._config.socket_timeout):
                connection.read_response()
            else:
                connection.disconnect()
        except FAILURES as error:
            connection.disconnect()
            self._wait_failed(wait, error)
        except BaseException:
            connection.disconnect()  # it may still be blocked
            raise
        finally:
            pool.release(connection)

    def _pool_for(self, key: str) -> Any:  # noqa: ANN401 - redis-py's pools share no type
        with self._making:
            if self._waiting is None:
                self._waiting = self.connection.waiting()
        client: Any = self._waiting
        if isinstance(client, redis.RedisCluster):
            client = client.get_redis_connection(client.get_node_from_key(key))  # type: ignore[no-untyped-call]
        return client.connection_pool

    def _wait_failed(self, wait: Wait, error: Exception) -> None:
        worth_repeating(error, wait.key)
        _log.warning("a wait was cut short: %s", error)
        if isinstance(self._waiting, redis.RedisCluster):
            # Waits bypass what keeps its map of the Cluster up to date.
            with contextlib.suppress(*FAILURES):
                self._waiting.nodes_manager.initialize()
        time.sleep(min(wait.seconds, PAUSE_AFTER_FAILED_WAIT))

    def scan(self, pattern: str) -> Iterator[bytes]:
        """Yield the keys that match, over all masters; for audits only."""
        client: Any = self.connection.client
        if not self.connection.clustered:
            yield from self._scan(client, pattern)
            return
        for node in client.get_primaries():
            yield from self._scan(client.get_redis_connection(node), pattern)

    def _scan(self, client: Any, pattern: str) -> Iterator[bytes]:  # noqa: ANN401 - as above
        cursor: Any = 0
        while True:
            step = partial(client.scan, cursor, match=pattern, count=SCAN_COUNT)
            cursor, keys = self._repeat(step, pattern, self._attempts())
            yield from keys
            if cursor == 0:
                return

    def servers(self) -> Iterator[tuple[ServerNode, ServerInfo | RedisStoreError]]:
        """Ask each server for INFO, masters first; one that does not tell comes with its error."""
        client: Any = self.connection.client
        if not self.connection.clustered:
            yield ServerNode("", "master"), self._told(client.info)
            return
        masters, replicas = client.get_primaries(), client.get_replicas()
        for node in (*masters, *replicas):
            known = ServerNode(node.name, "replica" if node in replicas else "master")
            yield known, self._told(client.get_redis_connection(node).info)

    def _told(self, ask: Callable[[], Mapping[str, Any]]) -> ServerInfo | RedisStoreError:
        try:
            return ServerInfo.of(self._repeat(ask, "INFO", self._attempts()))
        except RedisStoreError as error:
            return error

    def close(self) -> None:
        """Close the connections, and end watches."""
        self._closed.set()
        for look in tuple(self._looks):
            with look:
                continue  # no call of a watch is under way any more
        with self._making:
            waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting is not self.connection.client:
            waiting.close()
        if self._exchange is not None:
            self._exchange.close()
        self.connection.client.close()

    def _send(self, call: Call[Any]) -> Any:  # noqa: ANN401 - what a script may reply
        try:
            return self._send_known(call)
        except rx.ResponseError as error:
            if not str(error).startswith("NOLAYOUT"):
                raise
            for opening in self._opening.calls_for(call):
                self._send_text(opening)
            return self._send_known(call)

    def _send_known(self, call: Call[Any]) -> Any:  # noqa: ANN401 - likewise
        try:
            return self._execute(*call.by_sha(self.library))
        except rx.NoScriptError:
            # The server may be another than it was: what is known of the layout must hold there.
            self._send_text(self._opening.call(claim=call.creates))
            return self._send_text(call)

    def _send_text(self, call: Call[Any]) -> Any:  # noqa: ANN401 - likewise
        return self._execute(*call.by_text(self.library))

    def _attempts(self) -> Attempts:
        return Attempts(self._config.deadline, self._config.socket_timeout)

    def _run(self, call: Call[T], attempts: Attempts) -> T:
        return call.decode(self._reply(call, attempts))

    def _reply(self, call: Call[Any], attempts: Attempts) -> Any:  # noqa: ANN401 - likewise
        try:
            return self._send(call)
        except FAILURES as error:
            failure = worth_repeating(error, call.keys[0])
        return self._repeat(lambda: self._send(call), call.keys[0], attempts, failure)

    def _repeat(
        self,
        send: Callable[[], T],
        key: str,
        attempts: Attempts,
        failure: Exception | None = None,
    ) -> T:
        for pause in attempts if failure is None else attempts.again():
            if failure is not None:
                tell_repeated(failure)
                time.sleep(pause)
            try:
                if failure is not None and self.connection.revive is not None:
                    self.connection.revive(attempts.left())
                return send()
            except FAILURES as error:
                failure = worth_repeating(error, key)
        raise attempts.exhausted(self.connection.label, failure) from failure
