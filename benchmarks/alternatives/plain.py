"""Written by hand: a hash and one sorted set, a redis-py pipeline for each step, and no script."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio

from benchmarks.alternatives.alternative import Alternative, chat, document

_INDEX = "plain:updated_at"
_BATCH = 50
_TOKENS = {"input_tokens": 1200, "output_tokens": 345, "total_tokens": 1545}


def _now() -> int:
    return time.time_ns() // 1_000_000


def _key(number: int) -> str:
    return f"plain:entry:{chat(number)}"


def _load_and_touch(pipeline: Any, number: int) -> None:  # noqa: ANN401 - redis-py leaves commands untyped
    now = _now()
    pipeline.hgetall(_key(number))
    pipeline.hset(_key(number), "updated_at", now)
    pipeline.zadd(_INDEX, {chat(number): now})


def _count(pipeline: Any, number: int) -> None:  # noqa: ANN401 - likewise
    now = _now()
    for field, tokens in _TOKENS.items():
        pipeline.hincrby(_key(number), field, tokens)
    pipeline.hset(_key(number), "updated_at", now)
    pipeline.zadd(_INDEX, {chat(number): now})


def _store(pipeline: Any, number: int, now: int) -> None:  # noqa: ANN401 - likewise
    row = document(number)
    origin = row.pop("origin")
    assert isinstance(origin, dict)  # noqa: S101 - `document` made it
    fields = {**row, **origin, "suspended": "", "updated_at": now}
    pipeline.hset(_key(number), mapping=fields)
    pipeline.zadd(_INDEX, {chat(number): now})


def _read(replies: Sequence[Any]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in replies[0].items()}


class Plain(Alternative):
    """A pipeline by `redis.Redis`."""

    name, label, concurrent = "plain", "redis-py, HSET+ZADD pipeline", False

    async def open(self, sessions: int, *, connections: int) -> None:  # noqa: ARG002 - one is enough
        """Connect, and store sessions with the numbers from 0 on."""
        self.connect()
        for number in range(sessions):
            await self.create(number)

    def connect(self) -> None:
        """Connect, and store nothing."""
        self._client: Any = redis.Redis.from_url(self.url, protocol=2)

    async def message(self, number: int) -> object:
        """HGETALL, HSET and ZADD, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        _load_and_touch(pipeline, number)
        return _read(pipeline.execute())

    async def create(self, number: int) -> object:
        """HSET and ZADD, in one round trip, whether or not it was there."""
        pipeline = self._client.pipeline(transaction=False)
        _store(pipeline, number, _now())
        return pipeline.execute()

    async def turn(self, number: int, message_id: str) -> object:  # noqa: ARG002 - it remembers none
        """Load and touch; then count and touch: two round trips."""
        await self.message(number)
        pipeline = self._client.pipeline(transaction=False)
        _count(pipeline, number)
        return pipeline.execute()

    def latest(self, count: int) -> list[dict[str, str]]:
        """ZREVRANGE, and a pipeline with an HGETALL for each: two round trips."""
        pipeline = self._client.pipeline(transaction=False)
        for member in self._client.zrevrange(_INDEX, 0, count - 1):
            pipeline.hgetall(f"plain:entry:{member.decode()}")
        return [_read([entry]) for entry in pipeline.execute()]

    def prune(self, before: int) -> int:
        """ZRANGEBYSCORE, and a pipeline of UNLINK and ZREM, some at a time: two round trips."""
        removed = 0
        while members := self._client.zrangebyscore(_INDEX, "-inf", before, 0, _BATCH):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.unlink(*(f"plain:entry:{member.decode()}" for member in members))
            pipeline.zrem(_INDEX, *members)
            removed += pipeline.execute()[1]
        return removed

    def fill(self, first: int, count: int, updated_at: int) -> None:
        """Store many at once, all active at the same time."""
        for start in range(first, first + count, _BATCH):
            pipeline = self._client.pipeline(transaction=False)
            for number in range(start, min(start + _BATCH, first + count)):
                _store(pipeline, number, updated_at)
            pipeline.execute()

    async def close(self) -> None:
        """Disconnect."""
        self._client.close()


class PlainAsync(Alternative):
    """A pipeline by `redis.asyncio.Redis`."""

    name, label, concurrent = "plain_async", "redis-py (asyncio), HSET+ZADD pipeline", True

    async def open(self, sessions: int, *, connections: int) -> None:
        """Connect, and store sessions with the numbers from 0 on."""
        self._client: Any = pooled(self.url, connections)
        for number in range(sessions):
            await self.create(number)

    async def message(self, number: int) -> object:
        """HGETALL, HSET and ZADD, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        _load_and_touch(pipeline, number)
        return _read(await pipeline.execute())

    async def create(self, number: int) -> object:
        """HSET and ZADD, in one round trip, whether or not it was there."""
        pipeline = self._client.pipeline(transaction=False)
        _store(pipeline, number, _now())
        return await pipeline.execute()

    async def turn(self, number: int, message_id: str) -> object:  # noqa: ARG002 - it remembers none
        """Load and touch; then count and touch: two round trips."""
        await self.message(number)
        pipeline = self._client.pipeline(transaction=False)
        _count(pipeline, number)
        return await pipeline.execute()

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()


def pooled(url: str, connections: int) -> Any:  # noqa: ANN401 - as above
    """Return an asyncio client with a pool of so many connections."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url, max_connections=connections, protocol=2
    )
    return redis.asyncio.Redis.from_pool(pool)
