"""Messages that get no turn of their own, through both faces: taken once, and known to turns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from redisstore import (
    DuplicateMessage,
    EntryTooLarge,
    InvalidInput,
    SessionId,
    SessionStore,
    StaleWrite,
    TurnBusy,
    TurnLost,
)
from tests.conftest import OpenStore, Site
from tests.entries import key, source
from tests.servers import wait_until
from tests.turns import ClockedStores, begun, believing, direct_client, in_line

ADA = key("ada")


@pytest.fixture
def stores(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


def known(store: SessionStore, message_id: str) -> str:
    """What a turn with this message is told."""
    with pytest.raises(DuplicateMessage) as refused:
        begun(store, message_id=message_id)
    return refused.value.state


def is_free(store: SessionStore, message_id: str) -> bool:
    """Whether a turn with this message begins."""
    begun(store, message_id=message_id).end()
    return True


def test_a_message_is_taken_once_and_is_done(store: SessionStore) -> None:
    assert store.take_message(ADA, "m-1") is True
    assert store.take_message(ADA, "m-1") is False
    assert known(store, "m-1") == "done"
    assert store.take_message(key("bob"), "m-1") is True
    assert is_free(store, "m-2")
    assert store.take_message(ADA, "m-2") is False


def test_taking_a_message_opens_no_session(store: SessionStore) -> None:
    assert store.take_message(ADA, "m-1")
    assert store.get_session(ADA) is None
    assert not store.has_any_sessions()
    assert store.layout() is not None


def test_what_a_turn_takes_is_running_while_it_runs_and_done_after(store: SessionStore) -> None:
    turn = begun(store, message_id="m-1")
    assert store.take_message(ADA, "m-2", if_turn=turn) is True
    for if_turn in (turn, None):
        assert store.take_message(ADA, "m-2", if_turn=if_turn) is False
        assert store.take_message(ADA, "m-1", if_turn=if_turn) is False
    with pytest.raises(DuplicateMessage) as running:
        begun(store, message_id="m-2", wait=5)
    (listed,) = store.list_turns()
    told = running.value
    assert (told.state, told.replica, told.at) == ("running", "tester", listed.lapses_at)
    turn.end(output_tokens=1)
    for message_id in ("m-1", "m-2"):
        assert known(store, message_id) == "done"
        assert store.take_message(ADA, message_id) is False
    later = begun(store, message_id="m-3")
    assert store.take_message(ADA, "m-2", if_turn=later) is False
    later.end()


def test_a_command_is_done_while_a_turn_runs(store: SessionStore) -> None:
    turn = begun(store, message_id="m-1")
    assert store.take_message(ADA, "stop")
    assert known(store, "stop") == "done"
    turn.__exit__(KeyError, KeyError(), None)
    assert known(store, "stop") == "done"
    assert is_free(store, "m-1")


def test_a_message_that_waits_in_line_is_left_to_its_turn(store: SessionStore) -> None:
    turn = begun(store, message_id="m-1")
    next_one = in_line(store, "ada", "m-2")
    assert store.take_message(ADA, "m-2", if_turn=turn) is False
    assert store.take_message(ADA, "m-2") is False
    assert store.take_message(ADA, "m-3", if_turn=turn) is True
    turn.end()
    assert store.take_message(ADA, "m-2") is False, "the lane is its turn's, who has not come yet"
    with next_one as running:
        assert running.message_id == "m-2"
        assert store.take_message(ADA, "m-2", if_turn=running) is False
        assert store.take_message(ADA, "m-3", if_turn=running) is False
        assert store.take_message(ADA, "m-4", if_turn=running) is True
    assert known(store, "m-2") == known(store, "m-4") == "done"


def test_a_message_whose_turn_waited_in_vain_can_be_taken(store: SessionStore) -> None:
    turn = begun(store)
    with pytest.raises(TurnBusy):
        begun(store, message_id="m-2", wait=0.05)
    assert store.take_message(ADA, "m-2", if_turn=turn) is True
    turn.end()


@pytest.mark.parametrize("counters", [{"output_tokens": 3}, {}], ids=["counted", "not counted"])
def test_what_a_turn_took_is_done_though_its_session_was_reset(
    store: SessionStore, counters: dict[str, int]
) -> None:
    turn = begun(store)
    assert store.take_message(ADA, "m-2", if_turn=turn)
    store.reset_session(ADA)
    assert known(store, "m-2") == "running"
    if counters:
        with pytest.raises(StaleWrite):
            turn.end(**counters)
    else:
        turn.end()
    assert known(store, "m-2") == "done"


@pytest.mark.parametrize("change", ["reset", "switched"])
def test_a_message_for_the_next_conversation_is_not_taken_by_a_turn_of_the_last(
    store: SessionStore, change: str
) -> None:
    turn = begun(store)
    if change == "reset":
        store.reset_session(ADA)
    else:
        store.switch_session(ADA, SessionId("another"))
    with pytest.raises(StaleWrite):
        store.take_message(ADA, "m-2", if_turn=turn)
    turn.end()
    assert is_free(store, "m-2")


def test_a_turn_whose_conversation_goes_on_under_another_id_takes_messages(
    store: SessionStore,
) -> None:
    turn = begun(store)
    assert store.take_message(ADA, "m-2", if_turn=turn)
    assert store.amend_session(ADA, {"session_id": SessionId("next")}, if_turn=turn)
    assert store.take_message(ADA, "m-3", if_turn=turn)
    assert known(store, "m-2") == known(store, "m-3") == "running"
    turn.end()
    assert known(store, "m-2") == known(store, "m-3") == "done"


def test_a_turn_on_a_shared_session_takes_messages_of_its_own_lane(store: SessionStore) -> None:
    session_id = store.get_or_create_session(source("ada")).session_id
    store.get_or_create_session(source("bob"))
    store.switch_session(key("bob"), session_id)
    turn = begun(store)
    assert store.take_message(ADA, "m-2", if_turn=turn)
    with pytest.raises(TurnLost):
        store.take_message(key("bob"), "m-2", if_turn=turn)
    turn.end()
    assert known(store, "m-2") == "done"
    begun(store, "bob", "m-2").end()


def test_a_turn_that_has_ended_or_not_begun_takes_nothing(store: SessionStore) -> None:
    turn = store.turn(source("ada"))
    with pytest.raises(RuntimeError, match="not begun"):
        store.take_message(ADA, "m-2", if_turn=turn)
    with turn:
        pass
    with pytest.raises(TurnLost, match="has ended"):
        store.take_message(ADA, "m-2", if_turn=turn)
    with pytest.raises(TurnLost):
        store.take_message(ADA, "m-2", if_turn=believing(turn))
    assert is_free(store, "m-2")


def test_a_turn_takes_a_thousand_messages_and_no_more(store: SessionStore) -> None:
    turn = begun(store, message_id="m")
    for number in range(1000):
        assert store.take_message(ADA, f"m-{number}", if_turn=turn)
    with pytest.raises(EntryTooLarge, match="1000 messages") as refused:
        store.take_message(ADA, "m-1000", if_turn=turn)
    assert refused.value.field == "if_turn"
    assert store.take_message(ADA, "m-999", if_turn=turn) is False
    turn.end()
    for number in range(0, 1000, 111):
        assert store.take_message(ADA, f"m-{number}") is False
    assert store.take_message(ADA, "m-1000") is True


STRANGE = [
    *("a b", " ", "\n", "\0", "{x}", "é" * 512, "x" * 1024, "m-1 m-2"),
    *("takes", "token", "fence", "also ", "also m-1", "m-1"),
]


@pytest.mark.parametrize("by_turn", [True, False])
def test_message_ids_hold_anything_that_is_text(store: SessionStore, by_turn: bool) -> None:
    turn = begun(store)
    for message_id in STRANGE:
        if_turn = turn if by_turn else None
        assert store.take_message(ADA, message_id, if_turn=if_turn), message_id
        assert known(store, message_id) == ("running" if by_turn else "done")
    turn.end(output_tokens=1)
    for message_id in STRANGE:
        assert known(store, message_id) == "done"


@pytest.mark.parametrize("message_id", ["", "\ud800", "m" * 2000, None, 7, b"m"])
def test_a_bad_id_is_named(store: SessionStore, message_id: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        store.take_message(ADA, message_id)
    assert refused.value.field == "message_id"
    assert store.layout() is None


@pytest.mark.parametrize("by_turn", [True, False])
def test_a_message_is_forgotten_in_time(open_store: OpenStore, by_turn: bool) -> None:
    store = open_store(message_id_ttl=1)
    turn = begun(store)
    assert store.take_message(ADA, "m-2", if_turn=turn if by_turn else None)
    turn.end()
    assert store.take_message(ADA, "m-2") is False
    wait_until(lambda: store.take_message(ADA, "m-2"), message="the message to be forgotten")


def test_each_new_message_lets_go_of_those_that_are_old(stores: ClockedStores) -> None:
    store = stores.open(message_id_ttl=3600)
    assert store.take_message(ADA, "m-1")
    stores.clock.advance(timedelta(seconds=3601))
    assert store.take_message(ADA, "m-2")
    assert store.take_message(ADA, "m-1") is True
    assert store.take_message(ADA, "m-2") is False


def test_a_deleted_session_takes_its_messages_along(store: SessionStore) -> None:
    begun(store).end()
    assert store.take_message(ADA, "m-1")
    assert store.delete_session(ADA)
    assert store.take_message(ADA, "m-1") is True
