"""The runner of ``AsyncSessionStore``; ``redisstore/sync/runner.py`` is its twin.

A cancelled call may have been applied; repeating it is as safe as after a lost reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

from redis import exceptions as rx

from redisstore.calls.call import Ask, Call, Found, ItemT, Steps, Sweep, Wait, Watch
from redisstore.calls.layout import Opening
from redisstore.config import StoreConfig
from redisstore.connect import AsyncClient, AsyncWaits, Connection, Lines, execute_all_async
from redisstore.connect.cancellation import heeding
from redisstore.errors import RedisStoreError, StoreClosed
from redisstore.retry import FAILURES, Attempts, raise_if_final, tell_repeated
from redisstore.scripts import Library, library
from redisstore.server_info import ServerInfo, ServerNode
from redisstore.sync.runner import PAUSE_AFTER_FAILED_WAIT, SCAN_COUNT, UNSENT

T = TypeVar("T")
Execute: TypeAlias = Callable[..., Awaitable[Any]]
_TO_BE_TAUGHT = ("NOSCRIPT", "NOLAYOUT")
"""Answers of a server that has to be told the script, or the layout, first: no failures."""
_FAILURES = (*FAILURES, AttributeError)
"""What redis-py's asyncio clients raise. A call that has failed closes connections that others are
about to write to, and these fail with an ``AttributeError``: their stream is ``None`` then.
"""
_log = logging.getLogger(__name__)


class AsyncRunner:
    """Runs calls for ``AsyncSessionStore``; its deadline is exact."""

    def __init__(
        self, connection: Connection[AsyncClient], config: StoreConfig, opening: Opening
    ) -> None:
        self.connection = connection
        self.library: Library = library(shebang=not connection.imitated)
        self._opening = opening
        self._config = config
        self._closed = asyncio.Event()
        self._execute: Execute = connection.client.execute_command
        self._watching: set[asyncio.Lock] = set()  # the locks that watches hold while they call
        self._waits = AsyncWaits(connection, config.socket_timeout)
        self._lines = None if connection.imitated else Lines(connection.client, config)

    async def run(self, call: Call[T]) -> T:
        """Run one call: one round trip, unless the server has to be told the script."""
        return call.decode(await self._reply(call, self._attempts()))

    async def run_all(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Run independent calls, pipelined: one round trip for all, on Cluster one a node."""
        if len(calls) == 1:
            return [await self.run(calls[0])]
        attempts, commands = self._attempts(), [call.by_sha(self.library) for call in calls]
        replies: list[Any] = [UNSENT] * len(calls)
        try:
            async with self._closed_after(), asyncio.timeout(self._config.socket_timeout):
                replies = await execute_all_async(self.connection.client, commands)
        except _FAILURES as error:
            self._raise_if_final(error, calls[0].keys[0], attempts)
            tell_repeated(error)
        # A call that failed in the crowd is run again by itself, within what is left of the time.
        return [
            await self._run_again(call, attempts, reply)
            if isinstance(reply, Exception)
            else call.decode(reply)
            for call, reply in zip(calls, replies, strict=True)
        ]

    async def _run_again(self, call: Call[T], attempts: Attempts, failure: Exception) -> T:
        if self._closed.is_set():
            raise StoreClosed from failure
        attempts.take_failed(failure)
        try:
            async with asyncio.timeout(attempts.left()):
                return call.decode(await self._reply(call, attempts))
        except TimeoutError as error:
            raise attempts.exhausted(self.connection.label, error) from error

    async def drive(self, sweep: Sweep[ItemT]) -> AsyncIterator[ItemT]:
        """Run a sweep: make the calls it asks for and pass on the items it yields."""
        replies: list[Any] | None = None
        while True:
            try:
                step = sweep.send(replies)
            except StopIteration:
                return
            replies = None
            if isinstance(step, Ask):
                replies = await self.run_all(step.calls)
            else:
                yield step.item

    async def watch(self, watch: Watch[ItemT]) -> AsyncIterator[ItemT]:
        """Run what need not end by itself; it ends when the store is closed."""
        if self._closed.is_set():
            raise StoreClosed
        calling = asyncio.Lock()
        self._watching.add(calling)
        try:
            replies: list[Any] | None = None
            while True:
                try:
                    step = watch.send(replies)
                except StopIteration:
                    return
                replies = None
                if isinstance(step, Ask):
                    async with calling:
                        replies = await self.run_all(step.calls)
                elif isinstance(step, Found):
                    yield step.item
                elif await self._closed_within(step.seconds):
                    return
        except StoreClosed:
            pass  # meanwhile: that is the end
        finally:
            self._watching.discard(calling)

    async def complete(self, steps: Steps[T]) -> T:
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
                outcome = await self.run_all(step.calls)
            else:
                await self._wait(step)

    async def _wait(self, wait: Wait) -> None:
        """Block until woken. A failure wakes too: the begin that follows tells what is wrong."""
        try:
            await self._waits.wait(wait.key, wait.seconds)
        except _FAILURES as error:
            self._raise_if_final(error, wait.key)
            _log.warning("a wait was cut short: %s", error)
            await asyncio.sleep(min(wait.seconds, PAUSE_AFTER_FAILED_WAIT))

    async def _closed_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        return self._closed.is_set()

    async def scan(self, pattern: str) -> AsyncIterator[bytes]:
        """Yield the keys that match, over all masters; for audits only."""
        client: Any = self.connection.client
        if self.connection.clustered:
            await self._repeat(client.initialize, pattern, self._attempts())
        for node in client.get_primaries() if self.connection.clustered else (None,):
            target = {} if node is None else {"target_nodes": node}
            cursor: Any = 0
            while True:
                step = partial(client.scan, cursor, match=pattern, count=SCAN_COUNT, **target)
                found, keys = await self._repeat(step, pattern, self._attempts())
                for key in keys:
                    yield key
                cursor = found if node is None else found[node.name]  # a Cluster's has one a node
                if cursor == 0:
                    break

    async def servers(self) -> AsyncIterator[tuple[ServerNode, ServerInfo | RedisStoreError]]:
        """Ask each server for INFO, masters first; one that does not tell comes with its error."""
        client: Any = self.connection.client
        if not self.connection.clustered:
            yield ServerNode("", "master"), await self._told(client.info)
            return
        await self._repeat(client.initialize, "INFO", self._attempts())
        masters, replicas = client.get_primaries(), client.get_replicas()
        for node in (*masters, *replicas):
            known = ServerNode(node.name, "replica" if node in replicas else "master")
            # Not through the client: one node that is away makes it read the topology anew.
            yield known, await self._told(partial(node.execute_command, "INFO"))

    async def _told(self, ask: Execute) -> ServerInfo | RedisStoreError:
        try:
            return ServerInfo.of(await self._repeat(ask, "INFO", self._attempts()))
        except StoreClosed:
            raise
        except RedisStoreError as error:
            return error

    async def close(self) -> None:
        """Close the connections, and end waits and watches; for good."""
        self._closed.set()
        try:
            for calling in tuple(self._watching):
                async with calling:
                    continue  # no call of a watch is under way any more
        finally:
            await self._disconnect()

    async def _disconnect(self) -> None:
        async with contextlib.AsyncExitStack() as closing:  # the rest too, whatever ends one
            if self.connection.owned:
                closing.push_async_callback(self.connection.client.aclose)
            closing.push_async_callback(self._waits.close)
            if self._lines is not None:
                closing.push_async_callback(self._lines.close)

    async def _send(self, call: Call[Any], execute: Execute) -> Any:  # noqa: ANN401 - a reply
        try:
            return await self._send_known(call, execute)
        except rx.ResponseError as error:
            if not str(error).startswith("NOLAYOUT"):
                raise
            for opening in self._opening.calls_for(call):
                await execute(*opening.by_text(self.library))
            return await self._send_known(call, execute)

    async def _send_known(self, call: Call[Any], execute: Execute) -> Any:  # noqa: ANN401 - likewise
        try:
            return await execute(*call.by_sha(self.library))
        except rx.NoScriptError:
            # The server may be another than it was: what is known of the layout must hold there.
            await execute(*self._opening.call(claim=call.creates).by_text(self.library))
            return await execute(*call.by_text(self.library))

    def _attempts(self) -> Attempts:
        if self._closed.is_set():
            raise StoreClosed
        return Attempts(self._config.deadline, self._config.socket_timeout)

    async def _reply(self, call: Call[Any], attempts: Attempts) -> Any:  # noqa: ANN401 - likewise
        failure: Exception | None = None
        if self._lines is not None:
            try:
                return await self._by_line(self._lines.execute_command, call, attempts)
            except FAILURES as error:
                self._raise_if_final(error, call.keys[0], attempts)
                failure = error
            finally:
                if self._closed.is_set():
                    await self._disconnect()
        send = partial(self._send, call, self._execute)
        return await self._repeat(send, call.keys[0], attempts, failure)

    async def _by_line(self, execute: Execute, call: Call[Any], attempts: Attempts) -> Any:  # noqa: ANN401 - likewise
        """Call as nearly all calls go: once, without a time-out of its own, for a line has one."""
        try:
            return await execute(*call.by_sha(self.library))
        except rx.ResponseError as error:
            if not str(error).startswith(_TO_BE_TAUGHT):
                raise
        async with asyncio.timeout(attempts.left()):
            return await self._send(call, execute)

    async def _repeat(
        self,
        send: Callable[[], Awaitable[T]],
        key: str,
        attempts: Attempts,
        failure: Exception | None = None,
    ) -> T:
        for pause in attempts if failure is None else attempts.again():
            if failure is not None:
                tell_repeated(failure)
                await asyncio.sleep(pause)
            if self._closed.is_set():
                raise StoreClosed from failure
            try:
                async with self._closed_after(), asyncio.timeout(attempts.left()):
                    if failure is not None and self.connection.revive is not None:
                        await asyncio.to_thread(self.connection.revive, attempts.left())
                    return await heeding(send())
            except _FAILURES as error:
                self._raise_if_final(error, key, attempts)
                failure = error
        raise attempts.exhausted(self.connection.label, failure) from failure

    @contextlib.asynccontextmanager
    async def _closed_after(self) -> AsyncIterator[None]:
        """Leave nothing open that a call came to after a close, however the call ends."""
        try:
            yield
        finally:
            if self._closed.is_set():
                await self._disconnect()

    def _raise_if_final(self, error: Exception, key: str, of: Attempts | None = None) -> None:
        if isinstance(error, FAILURES):
            raise_if_final(error, key, of)
        if self._closed.is_set():
            raise StoreClosed from error
        if isinstance(error, AttributeError) and error.obj is not None:
            raise error  # no stream that was closed: a fault of the program
