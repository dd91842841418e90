"""redisstore, blocking and for asyncio."""

from __future__ import annotations

from benchmarks.alternatives.alternative import Alternative, chat
from benchmarks.sessions import source
from redisstore import AsyncSessionStore, SessionStore, StoreConfig


def _config(url: str) -> StoreConfig:
    return StoreConfig(
        url=url,
        partitions=1,
        replica="benchmark",
        max_connections=64,
        socket_timeout=60,
        deadline=120,
    )


class Ours(Alternative):
    """`SessionStore`."""

    name, label, concurrent = "ours", "redisstore, `SessionStore`", False

    async def open(self, sessions: int, *, connections: int) -> None:  # noqa: ARG002 - one is enough
        """Connect, and store sessions with the numbers from 0 on."""
        self._store = SessionStore.from_url(config=_config(self.url))
        for number in range(sessions):
            self._store.get_or_create_session(source(chat(number)))

    async def message(self, number: int) -> object:
        """Resolve the session, which records the activity."""
        return self._store.get_or_create_session(source(chat(number))).version

    async def create(self, number: int) -> object:
        """Resolve a session that is not there yet."""
        return await self.message(number)

    async def turn(self, number: int, message_id: str) -> object:
        """Begin a turn and end it."""
        with self._store.turn(source(chat(number)), message_id, wait=0) as turn:
            return turn.end(input_tokens=1200, output_tokens=345, total_tokens=1545)

    async def close(self) -> None:
        """Disconnect."""
        self._store.close()


class OursAsync(Alternative):
    """`AsyncSessionStore`."""

    name, label, concurrent = "ours_async", "redisstore, `AsyncSessionStore`", True

    async def open(self, sessions: int, *, connections: int) -> None:  # noqa: ARG002 - as it decides
        """Connect, and store sessions with the numbers from 0 on."""
        self._store = AsyncSessionStore.from_url(config=_config(self.url))
        for number in range(sessions):
            await self._store.get_or_create_session(source(chat(number)))

    async def message(self, number: int) -> object:
        """Resolve the session, which records the activity; return its version."""
        return (await self._store.get_or_create_session(source(chat(number)))).version

    async def create(self, number: int) -> object:
        """Resolve a session that is not there yet."""
        return await self.message(number)

    async def turn(self, number: int, message_id: str) -> object:
        """Begin a turn and end it."""
        async with self._store.turn(source(chat(number)), message_id, wait=0) as turn:
            return await turn.end(input_tokens=1200, output_tokens=345, total_tokens=1545)

    async def close(self) -> None:
        """Disconnect."""
        await self._store.close()
