"""What ``AsyncSessionStore`` stands on: opening, closing, and running calls and sweeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from redisstore.aio.runner import AsyncRunner
from redisstore.calls.call import Call, Context, ItemT, Steps, Sweep
from redisstore.calls.layout import Opening
from redisstore.config import StoreConfig, configured
from redisstore.connect import AsyncClient, Connection, adopt_async, connect_async
from redisstore.keys import KeySpace

T = TypeVar("T")


class AsyncComplete(Protocol):
    """What carries out the steps of an operation, and returns what it comes to."""

    async def __call__(self, build: Callable[[Context], Steps[T]], *, create: bool = False) -> T:
        """``create``: the operation may write where nothing is yet, so the store is laid out."""
        raise NotImplementedError


class StoreBase:
    """A store's connections and what is known of its layout."""

    def __init__(
        self,
        client: AsyncClient,
        *,
        namespace: str | None = None,
        partitions: int | None = None,
        config: StoreConfig | None = None,
    ) -> None:
        """Use a redis-py client of your own; its retries are switched off, its timeouts apply.

        ``close`` leaves it open: that is for whoever made it.
        """
        settled = configured(config, namespace=namespace, partitions=partitions)
        self._set_up(adopt_async(client, settled), settled)

    @classmethod
    def from_url(
        cls,
        url: str | None = None,
        *,
        namespace: str | None = None,
        partitions: int | None = None,
        config: StoreConfig | None = None,
    ) -> Self:
        """Make a store for a URL. Arguments go before ``config``, that before ``REDISSTORE_*``.

        ``redis://``, ``rediss://``, ``unix://``, ``redis+cluster://host:port,host:port``,
        ``redis+sentinel://host:port,host:port/service/db``, ``embedded:``,
        ``embedded:///directory`` and ``memory:``. Nothing is sent yet; an embedded server is
        started where none runs, which blocks for about 50 ms, longer when it has much to load.

        Raises:
            InvalidInput: names the setting that is wrong.
            StoreUnavailable: the embedded server does not answer.

        """
        settled = configured(config, url=url, namespace=namespace, partitions=partitions)
        store = cls.__new__(cls)
        store._set_up(connect_async(settled), settled)  # noqa: SLF001 - its own class
        return store

    def _set_up(self, connection: Connection[AsyncClient], config: StoreConfig) -> None:
        self.config = config
        self._opening = Opening(config, clustered=connection.clustered)
        self._runner = AsyncRunner(connection, config, self._opening)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._runner.close()

    async def layout(self) -> Context | None:
        """Return where the keys of this store live, or ``None`` where there is no store yet.

        Raises ``LayoutMismatch`` if what is stored was laid out otherwise. One round trip at most.
        """
        await self._open()
        return self._opening.context if self._opening.done else None

    async def _open(self, *, create: bool = False) -> None:
        """Learn where keys live, unless that is known; ``create``: lay out a store that is new."""
        if not self._opening.done:
            partitions = await self._runner.run(self._opening.call(claim=create))
            self._opening.found(partitions)

    # Arguments are checked, by building the call, before anything is sent. It is built again if the
    # layout has become known since, also because another task has asked for it.

    async def _run(self, build: Callable[[Context], Call[T]]) -> T:
        context = self._opening.context
        call = build(context)
        if not self._opening.done:
            await self._open(create=call.creates)
        if context is not self._opening.context:
            call = build(self._opening.context)
        return await self._runner.run(call)

    async def _run_all(self, build: Callable[[Context], Sequence[Call[Any]]]) -> list[Any]:
        context = self._opening.context
        calls = build(context)
        if not self._opening.done:
            await self._open()
        if context is not self._opening.context:
            calls = build(self._opening.context)
        return await self._runner.run_all(calls) if calls else []

    async def _complete(self, build: Callable[[Context], Steps[T]], *, create: bool = False) -> T:
        context = self._opening.context
        steps = build(context)
        if not self._opening.done:
            await self._open(create=create)
        if context is not self._opening.context:
            steps = build(self._opening.context)
        return await self._runner.complete(steps)

    def _space(self) -> KeySpace:
        return self._opening.context.space

    def _sweep(
        self, build: Callable[[Context], Sweep[ItemT]], *, create: bool = False
    ) -> AsyncIterator[ItemT]:
        build(self._opening.context)
        return self._opened_sweep(build, create=create)

    async def _opened_sweep(
        self, build: Callable[[Context], Sweep[ItemT]], *, create: bool
    ) -> AsyncIterator[ItemT]:
        await self._open(create=create)
        async for item in self._runner.drive(build(self._opening.context)):
            yield item
