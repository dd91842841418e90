"""Messages that a turn took and could not answer: free again, through both faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from redisstore import DuplicateMessage, SessionStore, TurnLost
from tests.conftest import OpenStore, Site
from tests.entries import key, source
from tests.turns import ClockedStores, begun, believing, direct_client

ADA = key("ada")


@pytest.fixture
def stores(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


def given_up(_: ClockedStores, __: SessionStore, turn: Any) -> None:
    turn.__exit__(KeyError, KeyError(), None)


def cut(_: ClockedStores, store: SessionStore, __: Any) -> None:
    assert store.drain(grace=0).cut == (ADA,)


def deleted(_: ClockedStores, store: SessionStore, __: Any) -> None:
    assert store.delete_session(ADA)


def lapsed(stores: ClockedStores, _: SessionStore, __: Any) -> None:
    stores.lapse()


def recovered(stores: ClockedStores, store: SessionStore, _: Any) -> None:
    stores.lapse()
    assert store.recover_turns() == 1


def clock_set_back(stores: ClockedStores, _: SessionStore, __: Any) -> None:
    stores.clock.advance(-timedelta(hours=1))


LOSSES: list[Callable[[ClockedStores, SessionStore, Any], None]] = [
    given_up,
    cut,
    deleted,
    lapsed,
    recovered,
    clock_set_back,
]


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("taken_by", ["a command", "the next turn", "a turn of its own"])
def test_what_a_turn_took_is_free_when_it_is_lost(
    stores: ClockedStores,
    lose: Callable[[ClockedStores, SessionStore, Any], None],
    taken_by: str,
) -> None:
    store, other = stores.open(), stores.open()
    turn = begun(store, message_id="m-1")
    assert store.take_message(ADA, "m-2", if_turn=turn)
    lose(stores, store, turn)
    if taken_by == "a command":
        assert other.take_message(ADA, "m-2") is True
    elif taken_by == "the next turn":
        with other.turn(source("ada"), "m-1", wait=0) as later:
            assert other.take_message(ADA, "m-2", if_turn=later) is True
    else:
        begun(other, message_id="m-2").end()
    with pytest.raises(DuplicateMessage) as known:
        begun(other, message_id="m-2")
    assert known.value.state == "done"
    assert other.take_message(ADA, "m-2") is False


@pytest.mark.parametrize("lose", LOSSES)
def test_a_turn_that_is_lost_takes_nothing(
    stores: ClockedStores, lose: Callable[[ClockedStores, SessionStore, Any], None]
) -> None:
    store, other = stores.open(), stores.open()
    turn = begun(store)
    lose(stores, store, turn)
    with pytest.raises(TurnLost):
        store.take_message(ADA, "m-2", if_turn=believing(turn))
    begun(other, message_id="m-2").end()
