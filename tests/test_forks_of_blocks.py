"""Blocks that were entered before a fork: they go on in the parent, whatever its child does."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from redisstore import AsyncSessionStore, DuplicateMessage, SessionStore, StoreConfig
from tests.conftest import Sites
from tests.entries import key, source
from tests.forks import exit_code
from tests.servers import wait_until

ADA = key("ada")


@pytest.fixture
def config(sites: Sites, namespace: str) -> StoreConfig:
    return StoreConfig(url=sites.server("valkey-9.1").url(), namespace=namespace)


@pytest.fixture
def store(config: StoreConfig) -> Iterator[SessionStore]:
    with SessionStore.from_url(config=config) as store:
        store.get_or_create_session(source("ada"))
        yield store


@pytest.mark.parametrize("error", [None, SystemExit(0)], ids=["normally", "by an exception"])
def test_a_child_that_leaves_the_blocks_of_its_parent_ends_none_of_them(
    store: SessionStore, error: BaseException | None
) -> None:
    how = (type(error) if error else None, error, None)
    upkeep, hold = store.maintenance(), store.hold_process(ADA, "cron")
    turn, not_begun = store.turn(source("ada"), "message"), store.turn(source("bob"))
    blocks: tuple[Any, ...] = (upkeep, hold, turn)
    for block in blocks:
        block.__enter__()

    def child() -> bool:
        for refused in (turn.update, turn.end, turn.give_up, not_begun.__enter__):
            with pytest.raises(RuntimeError, match="of the process that this one was forked from"):
                refused()
        for block in reversed(blocks):
            block.__exit__(*how)
        return True

    wait_until(lambda: any(store.list_replicas()))
    assert exit_code(child) == 0
    assert [one.state for one in store.list_replicas()] == ["up"]
    assert store.list_holds(ADA).keys() == {"cron"}
    with pytest.raises(DuplicateMessage), store.turn(source("ada"), "message", wait=0):
        pass
    assert turn.end(input_tokens=1200).input_tokens == 1200
    for block in reversed(blocks):
        block.__exit__(None, None, None)
    assert list(store.list_replicas()) == []


async def test_a_child_that_leaves_the_blocks_of_a_loop_ends_none_of_them(
    config: StoreConfig,
) -> None:
    async with AsyncSessionStore.from_url(config=config) as store:
        await store.get_or_create_session(source("ada"))
        async with (
            store.maintenance() as upkeep,
            store.hold_process(ADA, "cron") as hold,
            store.turn(source("ada"), "message") as turn,
        ):
            blocks: tuple[Any, ...] = (turn, hold, upkeep)

            def child() -> bool:
                for refused in (turn.update, turn.end, turn.give_up):
                    with pytest.raises(RuntimeError, match="that this one was forked from"):
                        refused().send(None)
                return all(is_done_at_once(block.__aexit__(None, None, None)) for block in blocks)

            assert exit_code(child) == 0
            assert (await store.list_holds(ADA)).keys() == {"cron"}
            assert (await turn.end(input_tokens=1200)).input_tokens == 1200


def is_done_at_once(leaving: Coroutine[Any, Any, None]) -> bool:
    """Say whether a block is left without a word to the loop, or to Redis."""
    try:
        leaving.send(None)
    except StopIteration:
        return True
    return False
