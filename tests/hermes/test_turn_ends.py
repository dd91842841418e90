"""The ends of a gateway's turns, without a gateway: whatever goes wrong, the lane is freed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from redisstore import AsyncSessionStore, DuplicateMessage, StoreConfig
from redisstore.hermes.turns import Scope, Turns
from tests.entries import key, source
from tests.servers import Server, require

ADA = key("ada")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(require("valkey-9.1"), appendonly=True, appendfsync="always") as server:
        yield server


@pytest.fixture
async def store(server: Server) -> AsyncIterator[AsyncSessionStore]:
    config = StoreConfig(
        url=server.url(), replica="one", deadline=0.5, socket_timeout=0.2, turn_lease_ttl=2
    )
    async with AsyncSessionStore.from_url(config=config) as store:
        yield store


async def begun(store: AsyncSessionStore, turns: Turns) -> Scope:
    scope = Scope(delivers=True)
    await turns.begin(scope, ADA, store.turn(source("ada"), "m-1", wait=0))
    return scope


@pytest.mark.parametrize(
    ("leave", "told"),
    [
        (Turns.end, "its end was not written"),
        (Turns.give_up, "was not given up and will lapse"),
    ],
    ids=["ended", "given up"],
)
async def test_a_turn_that_is_left_while_redis_is_away_is_renewed_no_more(
    server: Server,
    store: AsyncSessionStore,
    caplog: pytest.LogCaptureFixture,
    leave: Callable[[Turns, Scope], Awaitable[None]],
    told: str,
) -> None:
    turns = Turns()
    scope = await begun(store, turns)
    server.kill()
    await leave(turns, scope)
    assert told in caplog.text
    server.start()
    async with store.turn(source("ada"), "m-2", wait=20) as later:
        assert later.entry.resume_reason == "replica_lost"
    await begun(store, Turns())


async def test_a_turn_that_was_lost_at_its_end_is_counted_no_more(store: AsyncSessionStore) -> None:
    turns = Turns()
    scope = await begun(store, turns)
    assert scope.turn is not None
    assert await store.revoke_turn(ADA, scope.turn.token)
    await turns.end(scope)
    drained = await store.drain(grace=60)
    assert (drained.finished, drained.cut) == (0, ())


async def test_a_turn_that_ends_leaves_its_message_handled(store: AsyncSessionStore) -> None:
    turns = Turns()
    await turns.end(await begun(store, turns))
    with pytest.raises(DuplicateMessage):
        await begun(store, turns)
    assert [turn async for turn in store.list_turns()] == []
