"""Gateways for tests: a store with its maintenance, in threads or in an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol, Self

from redisstore import AsyncSessionStore, ExpiredSession, SessionStore, StoreConfig

__all__ = ["GATEWAYS", "Gateway"]

OnExpired = Callable[[ExpiredSession], object]


class Gateway(Protocol):
    """What runs while the ``with`` block does, or until ``stop``."""

    def __init__(self, config: StoreConfig, on_expired: OnExpired | None = None) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def stop(self) -> None: ...
    def drain(self) -> None: ...


class _Threads:
    def __init__(self, config: StoreConfig, on_expired: OnExpired | None = None) -> None:
        self._store = SessionStore.from_url(config=config)
        self._on_expired = on_expired
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._store)
        self._stack.enter_context(self._store.maintenance(self._on_expired))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stack.close()

    def drain(self) -> None:
        self._store.drain(0)


class _Tasks:
    def __init__(self, config: StoreConfig, on_expired: OnExpired | None = None) -> None:
        self._config = config
        self._callback = on_expired
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._main(),))
        self._store: AsyncSessionStore
        self._loop: asyncio.AbstractEventLoop
        self._done: asyncio.Event

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._done.set)
            self._thread.join()

    def drain(self) -> None:
        asyncio.run_coroutine_threadsafe(self._store.drain(0), self._loop).result(10)

    async def _main(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        on_expired = self._call if self._callback else None
        self._store = AsyncSessionStore.from_url(config=self._config)
        async with self._store, self._store.maintenance(on_expired):
            self._ready.set()
            await self._done.wait()

    async def _call(self, expired: ExpiredSession) -> None:
        """Let the callback block a thread, and not the loop."""
        assert self._callback is not None
        await asyncio.to_thread(self._callback, expired)


GATEWAYS: dict[str, type[Gateway]] = {"threads": _Threads, "tasks": _Tasks}
