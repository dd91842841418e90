"""Both stores behind one plain interface, so that one contract suite runs through both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self, cast

from redisstore import AsyncSessionStore, AsyncTurn, SessionEntry, SessionStore, StoreConfig


class Blocking:
    """An ``AsyncSessionStore`` that is called like a ``SessionStore``, on a loop of its own."""

    def __init__(self, store: AsyncSessionStore, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._store, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            result = attribute(*args, **kwargs)
            if inspect.isawaitable(result):
                return self._loop.run_until_complete(_settled(result))
            if isinstance(result, AsyncTurn):
                return BlockingTurn(result, self._loop)
            if isinstance(result, AsyncIterator):
                return _stepped(result, self._loop)
            return result

        return call


class BlockingTurn:
    """An ``AsyncTurn`` that is used like a ``Turn``, on the loop of its store."""

    def __init__(self, turn: AsyncTurn, loop: asyncio.AbstractEventLoop) -> None:
        self._turn = turn
        self._loop = loop

    def __enter__(self) -> Self:
        self._loop.run_until_complete(self._turn.__aenter__())
        return self

    def __exit__(self, *failure: Any) -> None:
        self._loop.run_until_complete(self._turn.__aexit__(*failure))

    def update(self, *args: Any, **counters: Any) -> SessionEntry:
        return self._loop.run_until_complete(self._turn.update(*args, **counters))

    def end(self, *args: Any, **counters: Any) -> SessionEntry:
        return self._loop.run_until_complete(self._turn.end(*args, **counters))

    def give_up(self) -> None:
        self._loop.run_until_complete(self._turn.give_up())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._turn, name)


async def _settled(result: Any) -> Any:
    return await result


def _stepped(items: Any, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """Step through an asynchronous generator, and end it where the caller leaves off."""
    try:
        while True:
            try:
                item = loop.run_until_complete(_settled(anext(items)))
            except StopAsyncIteration:
                return
            yield item
    finally:
        loop.run_until_complete(items.aclose())


def blocking(
    make: Callable[[], AsyncSessionStore], loop: asyncio.AbstractEventLoop
) -> SessionStore:
    """Make an asyncio store and dress it as a plain one."""

    async def made() -> AsyncSessionStore:
        return make()

    return cast("SessionStore", Blocking(loop.run_until_complete(made()), loop))


def open_face(face: str, config: StoreConfig, loop: asyncio.AbstractEventLoop) -> SessionStore:
    """Open a store through either face, ``sync`` or ``async``, to be called like the first."""
    if face == "async":
        return blocking(lambda: AsyncSessionStore.from_url(config=config), loop)
    return SessionStore.from_url(config=config)
