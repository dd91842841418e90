"""The limits: the store's own script by redis-py and nothing around it, and PING."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import redis

from benchmarks.alternatives.alternative import MESSAGES_ONLY, Alternative, chat
from benchmarks.alternatives.plain import pooled
from benchmarks.sessions import source
from redisstore import SessionSource, SessionStore, StoreConfig
from redisstore.calls import sessions
from redisstore.scripts import library

Command = tuple[str | bytes | int, ...]
_SESSION_ID = re.compile(r"\d{8}_\d{6}_[0-9a-f]{12}")


class BareCommands:
    """EVALSHA commands of ``get_or_create_session``: made beforehand, but for the id of each call.

    The script knows a call that it has answered, and does nothing the second time.
    """

    def __init__(self, store: SessionStore, sources: Sequence[SessionSource]) -> None:
        context = store.layout()
        if context is None:
            raise RuntimeError("the store is empty")
        scripts = library(shebang=True)
        store.get_or_create_session(sources[0])  # the server has the script from here on
        self.made: list[Command] = [
            sessions.get_or_create(context, each, force_new=False).by_sha(scripts)
            for each in sources
        ]
        (self.place,) = (
            place
            for place, word in enumerate(self.made[0])
            if isinstance(word, str) and _SESSION_ID.fullmatch(word)
        )
        self._heads = [command[: self.place] for command in self.made]
        self._tails = [command[self.place + 1 :] for command in self.made]
        self._ids = itertools.count(1)

    def __getitem__(self, number: int) -> Command:
        """Return a command that was not sent before, for one of the sources."""
        call_id = f"20260101_000000_{next(self._ids):012x}"
        return (*self._heads[number], call_id, *self._tails[number])


def _prepared(url: str, count: int) -> BareCommands:
    sources = [source(chat(number)) for number in range(count)]
    with SessionStore.from_url(config=StoreConfig(url=url, partitions=1)) as store:
        for each in sources:
            store.get_or_create_session(each)
        return BareCommands(store, sources)


class Bare(Alternative):
    """The store's EVALSHA, by `redis.Redis`."""

    name, label, concurrent = "bare", "limit: the same EVALSHA, redis-py", False
    does = MESSAGES_ONLY

    async def open(self, sessions: int, *, connections: int) -> None:  # noqa: ARG002 - one is enough
        """Connect, and store sessions with the numbers from 0 on."""
        self._commands = _prepared(self.url, sessions)
        self._client: Any = redis.Redis.from_url(self.url, protocol=2)

    async def message(self, number: int) -> object:
        """Run the script, and leave the reply as it is."""
        return self._client.execute_command(*self._commands[number])

    async def close(self) -> None:
        """Disconnect."""
        self._client.close()


class BareAsync(Alternative):
    """The store's EVALSHA, by `redis.asyncio.Redis` with a pool."""

    name, label, concurrent = "bare_async", "limit: the same EVALSHA, redis-py (asyncio)", True
    does = MESSAGES_ONLY

    async def open(self, sessions: int, *, connections: int) -> None:
        """Connect, and store sessions with the numbers from 0 on."""
        self._commands = _prepared(self.url, sessions)
        self._client = pooled(self.url, connections)

    async def message(self, number: int) -> object:
        """Run the script, and leave the reply as it is."""
        return await self._client.execute_command(*self._commands[number])

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()


class Ping(Alternative):
    """PING, by `redis.Redis`."""

    name, label, concurrent = "ping", "limit: PING, redis-py", False
    does = MESSAGES_ONLY

    async def open(self, sessions: int, *, connections: int) -> None:  # noqa: ARG002 - it stores none
        """Connect."""
        self._client: Any = redis.Redis.from_url(self.url, protocol=2)

    async def message(self, number: int) -> object:  # noqa: ARG002 - it has none
        """PING."""
        return self._client.ping()

    async def close(self) -> None:
        """Disconnect."""
        self._client.close()


class PingAsync(Alternative):
    """PING, by `redis.asyncio.Redis` with a pool."""

    name, label, concurrent = "ping_async", "limit: PING, redis-py (asyncio)", True
    does = MESSAGES_ONLY

    async def open(self, sessions: int, *, connections: int) -> None:  # noqa: ARG002 - it stores none
        """Connect."""
        self._client = pooled(self.url, connections)

    async def message(self, number: int) -> object:  # noqa: ARG002 - it has none
        """PING."""
        return await self._client.ping()

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()
