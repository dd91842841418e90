"""One way to call the sync and the async store, so that one machine drives both.

A face takes what a store's method returned and gives back its answer: ``face.answer(store.count())``
and ``face.items(store.list_sessions())`` read alike for both.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from redisstore import AsyncSessionStore, SessionStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from redisstore import StoreConfig


class Face(Protocol):
    """What the machine needs of a kind of store.

    Answers are untyped here: the two stores differ in exactly that, and what the answers are is
    compared with the model.
    """

    def open(self, config: StoreConfig) -> Any: ...  # noqa: ANN401

    def answer(self, returned: Any) -> Any: ...  # noqa: ANN401

    def items(self, returned: Any) -> list[Any]: ...  # noqa: ANN401


class SyncFace:
    """`SessionStore`: what a method returned is the answer."""

    def open(self, config: StoreConfig) -> SessionStore:
        return SessionStore.from_url(config=config)

    def answer(self, returned: Any) -> Any:  # noqa: ANN401
        return returned

    def items(self, returned: Iterator[Any]) -> list[Any]:
        return list(returned)


class AsyncFace:
    """`AsyncSessionStore`, on one event loop for the life of the face."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def open(self, config: StoreConfig) -> AsyncSessionStore:
        return AsyncSessionStore.from_url(config=config)

    def answer(self, returned: Awaitable[Any]) -> Any:  # noqa: ANN401
        async def awaited() -> Any:  # noqa: ANN401
            return await returned

        return self._runner.run(awaited())

    def items(self, returned: AsyncIterator[Any]) -> list[Any]:
        async def collected() -> list[Any]:
            return [item async for item in returned]

        return self._runner.run(collected())

    def close(self) -> None:
        self._runner.close()
