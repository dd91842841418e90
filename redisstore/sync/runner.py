"""The runner of ``SessionStore``: the one place that sends its calls to Redis.

It sends each ``Call`` by EVALSHA (by EVAL where the server does not know the script), repeats it
within the deadline when a reply is lost, and raises nothing but ``RedisStoreError``. Closing it is
final: what comes later, and what waits or would be tried again then, ends with ``StoreClosed``.
``redisstore/aio/runner.py`` is its counterpart for asyncio; what both do alike is in ``retry.py``.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from redis import exceptions as rx

from redisstore.calls.call import Ask, Call, Found, ItemT, Steps, Sweep, Wait, Watch
from redisstore.calls.layout import Opening
from redisstore.config import StoreConfig
from redisstore.connect import Connection, SyncClient, Waits, exchange_for, execute_all
from redisstore.errors import RedisStoreError, StoreClosed
from redisstore.fork import FreshAfterFork
from redisstore.retry import FAILURES, Attempts, raise_if_final, tell_repeated
from redisstore.scripts import Library, library
from redisstore.server_info import ServerInfo, ServerNode

T = TypeVar("T")
SCAN_COUNT = 500
PAUSE_AFTER_FAILED_WAIT = 0.2
"""Seconds before the begin that follows a wait that failed."""
UNSENT = rx.ConnectionError("not sent: the pipeline broke before")
_log = logging.getLogger(__name__)


class Runner(FreshAfterFork):
    """Runs calls for ``SessionStore``."""

    def __init__(
        self, connection: Connection[SyncClient], config: StoreConfig, opening: Opening
    ) -> None:
        self.connection = connection
        self.library: Library = library(shebang=not connection.imitated)
        self._opening = opening
        self._config = config
        self._closed = False
        super().__init__()
        self._waits = Waits(connection, config.socket_timeout)
        self._exchange = exchange_for(connection, config.deadline)

    def _start_afresh(self) -> None:
        self._watching: set[threading.RLock] = set()
        """The locks that watches hold while they call."""
        self._closing = threading.Condition()  # of an RLock, for the handlers of signals
        self._execute: Callable[..., Any] = self._execute_first

    def _execute_first(self, *command: str | bytes | int) -> Any:  # noqa: ANN401 - any reply
        """Run a command by the way that this process has, and the later ones without asking."""
        way: Any = self._exchange or self.connection.client  # untyped in redis-py
        self._execute = way.execute_command
        return self._execute(*command)

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
                keys = [call.keys[0] for call in calls]
                execute_all(self.connection.client, commands, keys, replies)
        except Exception as error:  # noqa: BLE001 - raised again where it is no failure
            self._raise_if_final(error, calls[0].keys[0], attempts)
            tell_repeated(error)
        if self._closed:
            self._disconnect()  # as below
        # A call that failed in the crowd is run again by itself, within what is left of the time.
        return [
            self._run_again(call, attempts, reply)
            if isinstance(reply, Exception)
            else call.decode(reply)
            for call, reply in zip(calls, replies, strict=True)
        ]

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
        if self._closed_within(0):
            raise StoreClosed
        calling = threading.RLock()
        watching = self._watching
        watching.add(calling)
        try:
            replies: list[Any] | None = None
            while True:
                try:
                    step = watch.send(replies)
                except StopIteration:
                    return
                replies = None
                if isinstance(step, Ask):
                    with calling:
                        replies = self.run_all(step.calls)
                elif isinstance(step, Found):
                    yield step.item
                elif self._closed_within(step.seconds):
                    return
        except StoreClosed:
            pass  # meanwhile: that is the end
        finally:
            watching.discard(calling)

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
        """Block until woken. A failure wakes too: the begin that follows tells what is wrong."""
        try:
            self._waits.wait(wait.key, wait.seconds)
        except FAILURES as error:
            raise_if_final(error, wait.key)
            _log.warning("a wait was cut short: %s", error)
            self._waits.refresh()
            self._closed_within(min(wait.seconds, PAUSE_AFTER_FAILED_WAIT))

    def _closed_within(self, seconds: float) -> bool:
        with self._closing:
            return self._closing.wait_for(lambda: self._closed, seconds)

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
        except StoreClosed:
            raise
        except RedisStoreError as error:
            return error

    def close(self) -> None:
        """Close the connections, and end waits and watches; for good."""
        with self._closing:
            self._closed = True
            self._closing.notify_all()
        for calling in tuple(self._watching):
            with calling:
                continue  # no call of a watch is under way any more
        self._waits.close()
        if self._exchange is not None:
            self._exchange.close()
        self._disconnect()

    def _disconnect(self) -> None:
        # A connection of fakeredis can't be cut during a call: then whoever called does it.
        cut_in_a_call = (ValueError,) if self.connection.imitated else ()
        with contextlib.suppress(*cut_in_a_call):
            self.connection.held.close()

    def _send(self, call: Call[Any]) -> Any:  # noqa: ANN401 - what a script may reply
        try:
            return self._send_known(call)
        except rx.ResponseError as error:
            if not str(error).startswith("NOLAYOUT"):
                raise
            for opening in self._opening.calls_for(call):
                self._execute(*opening.by_text(self.library))
            return self._send_known(call)

    def _send_known(self, call: Call[Any]) -> Any:  # noqa: ANN401 - likewise
        try:
            return self._execute(*call.by_sha(self.library))
        except rx.NoScriptError:
            # The server may be another than it was: what is known of the layout must hold there.
            self._execute(*self._opening.call(claim=call.creates).by_text(self.library))
            return self._execute(*call.by_text(self.library))

    def _attempts(self) -> Attempts:
        if self._closed:
            raise StoreClosed
        return Attempts(self._config.deadline, self._config.socket_timeout)

    def _run(self, call: Call[T], attempts: Attempts) -> T:
        reply = self._reply(call, attempts)
        if self._closed:
            self._disconnect()  # this may have come to a connection after the others were closed
        return call.decode(reply)

    def _run_again(self, call: Call[T], attempts: Attempts, failure: Exception) -> T:
        if self._closed:
            raise StoreClosed from failure
        attempts.take_failed(failure)
        return self._run(call, attempts)

    def _reply(self, call: Call[Any], attempts: Attempts) -> Any:  # noqa: ANN401 - likewise
        try:
            return self._send(call)
        except Exception as error:  # noqa: BLE001 - raised again where it is no failure
            self._raise_if_final(error, call.keys[0], attempts)
            failure = error
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
                if self._closed_within(pause):
                    raise StoreClosed from failure
            try:
                if failure is not None and self.connection.revive is not None:
                    self.connection.revive(attempts.left())
                return send()
            except Exception as error:  # noqa: BLE001 - raised again where it is no failure
                self._raise_if_final(error, key, attempts)
                failure = error
        raise attempts.exhausted(self.connection.label, failure) from failure

    def _raise_if_final(self, error: Exception, key: str, attempts: Attempts) -> None:
        if isinstance(error, FAILURES):
            raise_if_final(error, key, attempts)
        if self._closed:
            # Whatever redis-py makes of a connection that is cut under its hands.
            self._disconnect()
            raise StoreClosed from error
        if not isinstance(error, FAILURES):
            raise error
