"""Tasks cancelled in the middle of a call take nothing from those that come after them."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from redisstore import AsyncSessionStore
from tests.processes.lanes import key_of, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from redisstore import StoreConfig
    from tests.servers import Server

NAMES = [str(number) for number in range(20)]
CONNECTIONS = 4
CANCELLED = 200
MOST_TURNS = 8
"""Turns of the event loop after which a call is cancelled, at most; it takes about as many."""


async def test_later_calls_get_their_own_replies_and_every_connection_is_usable(
    server: Server, configured: Callable[..., StoreConfig]
) -> None:
    config = configured(server.url(), partitions=4, max_connections=CONNECTIONS)
    chance = random.Random(11)
    async with AsyncSessionStore.from_url(config=config) as store:
        for name in NAMES:
            await store.get_or_create_session(source_of(name))
        cut_short = 0
        for _ in range(CANCELLED):
            cut_short += await _cancelled(_some_call(store, chance), chance)
            name = chance.choice(NAMES)
            entry = await store.get_session(key_of(name))
            assert entry is not None
            assert entry.session_key == key_of(name)
            assert entry.origin == source_of(name)
        assert cut_short > CANCELLED / 10, "few calls were still under way when cancelled"
        # All at once: more calls than connections, and none of the connections may be missing.
        entries = await asyncio.gather(
            *(store.get_session(key_of(name)) for name in NAMES * CONNECTIONS)
        )
        assert [entry.origin for entry in entries if entry] == [
            source_of(name) for name in NAMES * CONNECTIONS
        ]
        assert await store.count_sessions() == len(NAMES)
        assert [fault async for fault in store.audit()] == []


def _some_call(store: AsyncSessionStore, chance: random.Random) -> Coroutine[None, None, object]:
    name = chance.choice(NAMES)
    return chance.choice(
        (
            lambda: store.get_session(key_of(name)),
            lambda: store.update_session(key_of(name), output_tokens=1),
            lambda: store.get_or_create_session(source_of(name), force_new=True),
            store.count,
            lambda: store.prune_old_entries(max_age_days=1),
        )
    )()


async def _cancelled(call: Coroutine[None, None, object], chance: random.Random) -> bool:
    """Start a call and cancel it a moment later; whether it was still under way."""
    task = asyncio.create_task(call)
    for _ in range(chance.randrange(MOST_TURNS)):
        await asyncio.sleep(0)
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome
    return isinstance(outcome, asyncio.CancelledError)
