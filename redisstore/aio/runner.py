"""The runner of ``AsyncSessionStore``; ``redisstore/sync/runner.py`` is its twin.

A cancelled call may have been applied; repeating it is as safe as after a lost reply.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

from redis import exceptions as rx

from redisstore.aio.cancellation import heeding, interruptible
from redisstore.calls.call import Ask, Call, Found, ItemT, Steps, Sweep, Wait, Watch
from redisstore.calls.layout import Opening
from redisstore.config import StoreConfig
from redisstore.connect import AsyncClient, Connection, Lines
from redisstore.errors import RedisStoreError, StoreUnavailable
from redisstore.retry import (
    FAILURES,
    FAILURES_OF_A_LINE,
    Attempts,
    tell_repeated,
    worth_repeating,
)
from redisstore.scripts import Library, library
from redisstore.server_info import ServerInfo, ServerNode
from redisstore.sync.runner import PAUSE_AFTER_FAILED_WAIT, SCAN_COUNT, UNSENT

T = TypeVar("T")
Execute: TypeAlias = Callable[..., Awaitable[Any]]
_TO_BE_TAUGHT = ("NOSCRIPT", "NOLAYOUT")
"""Answers of a server that has to be told the script, or the layout, first: no failures."""
_log = logging.getLogger(__name__)


class AsyncRunner:
    """Runs calls for ``AsyncSessionStore``; its deadline is exact."""

    def __init__(
        self, connection: Connection[AsyncClient], config: StoreConfig, opening: Opening
    ) -> None:
        self.connection = connection
        self.library: Library = library(shebang=connection.knows_shebang)
        self._opening = opening
        self._config = config
        self._waiting: AsyncClient | None = None
        self._closed = asyncio.Event()
        self._closings = 0
        self._execute: Execute = connection.client.execute_command
        self._looks: set[asyncio.Lock] = set()
        # fakeredis has no connections.
        self._lines = Lines(connection.client, config) if connection.knows_shebang else None

    async def run(self, call: Call[T]) -> T:
        """Run one call: one round trip, unless the server has to be told the script."""
        return await self._run(call, self._attempts())

    async def run_all(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Run independent calls, pipelined: one round trip for all, on Cluster one a node."""
        if len(calls) == 1:
            return [await self.run(calls[0])]
        attempts = self._attempts()
        replies: list[Any] = [UNSENT] * len(calls)
        pipeline: Any = self.connection.client.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call.by_sha(self.library))
        # A Cluster pipeline would send again by itself what failed.
        alone = {"allow_redirections": False} if self.connection.clustered else {}
        try:
            async with asyncio.timeout(self._config.socket_timeout):
                replies = await heeding(pipeline.execute(raise_on_error=False, **alone))
        except FAILURES as error:
            tell_repeated(error)
        return [
            await self._run(call, attempts) if isinstance(reply, Exception) else call.decode(reply)
            for call, reply in zip(calls, replies, strict=True)
        ]

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

    async def _closed_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closed.wait()
        except TimeoutError:
            return False

    async def watch(self, watch: Watch[ItemT]) -> AsyncIterator[ItemT]:
        """Run what need not end by itself; it ends when the store is closed."""
        look = asyncio.Lock()
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
                    async with look:
                        if self._closed.is_set():
                            return
                        replies = await self.run_all(step.calls)
                elif isinstance(step, Found):
                    yield step.item
                elif await self._closed_within(step.seconds):
                    return
        finally:
            self._looks.discard(look)

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
        """Block until woken, on a connection of its own. A failure wakes too: the look tells."""
        if self._waiting is None:
            self._waiting = self.connection.waiting()
        client: Any = self._waiting
        blocking = client.execute_command("BLPOP", wait.key, f"{wait.seconds:.3f}")
        try:
            await interruptible(blocking, wait.seconds + self._config.socket_timeout)
        except FAILURES as error:
            worth_repeating(error, wait.key)
            _log.warning("a wait was cut short: %s", error)
            await asyncio.sleep(min(wait.seconds, PAUSE_AFTER_FAILED_WAIT))

    async def scan(self, pattern: str) -> AsyncIterator[bytes]:
        """Yield the keys that match, over all masters; for audits only."""
        client: Any = self.connection.client
        if self.connection.clustered:
            await client.initialize()
        for node in client.get_primaries() if self.connection.clustered else (None,):
            target = {} if node is None else {"target_nodes": node}
            cursor: Any = 0
            while True:
                step = partial(client.scan, cursor, match=pattern, count=SCAN_COUNT, **target)
                found, keys = await self._repeat(step, pattern, self._attempts())
                for key in keys:
                    yield key
                # A Cluster client answers with a cursor for each node that was asked.
                cursor = found if node is None else found[node.name]
                if cursor == 0:
                    break

    async def servers(self) -> AsyncIterator[tuple[ServerNode, ServerInfo | RedisStoreError]]:
        """Ask each server for INFO, masters first; one that does not tell comes with its error."""
        client: Any = self.connection.client
        if not self.connection.clustered:
            yield ServerNode("", "master"), await self._told(client.info)
            return
        await client.initialize()
        masters, replicas = client.get_primaries(), client.get_replicas()
        for node in (*masters, *replicas):
            known = ServerNode(node.name, "replica" if node in replicas else "master")
            yield known, await self._told(partial(client.info, target_nodes=node))

    async def _told(
        self, ask: Callable[[], Awaitable[Mapping[str, Any]]]
    ) -> ServerInfo | RedisStoreError:
        try:
            return ServerInfo.of(await self._repeat(ask, "INFO", self._attempts()))
        except RedisStoreError as error:
            return error

    async def close(self) -> None:
        """Close the connections, and end watches."""
        self._closed.set()
        self._closings += 1
        for look in tuple(self._looks):
            async with look:
                continue  # no call of a watch is under way any more
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting is not self.connection.client:
            await waiting.aclose()
        if self._lines is not None:
            await self._lines.close()
        await self.connection.client.aclose()

    async def _send(self, call: Call[Any], execute: Execute) -> Any:  # noqa: ANN401 - a reply
        try:
            return await self._send_known(call, execute)
        except rx.ResponseError as error:
            if not str(error).startswith("NOLAYOUT"):
                raise
            for opening in self._opening.calls_for(call):
                await self._send_text(opening, execute)
            return await self._send_known(call, execute)

    async def _send_known(self, call: Call[Any], execute: Execute) -> Any:  # noqa: ANN401 - likewise
        try:
            return await execute(*call.by_sha(self.library))
        except rx.NoScriptError:
            # The server may be another than it was: what is known of the layout must hold there.
            await self._send_text(self._opening.call(claim=call.creates), execute)
            return await self._send_text(call, execute)

    async def _send_text(self, call: Call[Any], execute: Execute) -> Any:  # noqa: ANN401 - likewise
        return await execute(*call.by_text(self.library))

    def _attempts(self) -> Attempts:
        return Attempts(self._config.deadline, self._config.socket_timeout)

    async def _run(self, call: Call[T], attempts: Attempts) -> T:
        return call.decode(await self._reply(call, attempts))

    async def _reply(self, call: Call[Any], attempts: Attempts) -> Any:  # noqa: ANN401 - likewise
        failure: Exception | None = None
        if self._lines is not None:
            closings = self._closings
            try:
                return await self._by_line(self._lines.execute_command, call, attempts)
            except FAILURES_OF_A_LINE as error:
                failure = worth_repeating(error, call.keys[0])
            if closings != self._closings:
                raise StoreUnavailable(f"{self.connection.label}: the store was closed meanwhile")
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
            try:
                async with asyncio.timeout(attempts.left()):
                    if failure is not None and self.connection.revive is not None:
                        await asyncio.to_thread(self.connection.revive, attempts.left())
                    return await heeding(send())
            except FAILURES as error:
                failure = worth_repeating(error, key)
        raise attempts.exhausted(self.connection.label, failure) from failure
