"""What the block of a turn does, through both faces: entered once, it ends or is given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redisstore import DuplicateMessage, InvalidInput, SessionStore, TurnLost
from tests.conftest import OpenStore, Site
from tests.entries import key, source
from tests.turns import ClockedStores, begun, direct_client

ADA = key("ada")


@pytest.fixture
def stores(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


def test_a_turn_that_has_ended_is_not_entered_again(store: SessionStore) -> None:
    turn = store.turn(source("ada"))
    with turn:
        pass
    with pytest.raises(RuntimeError, match="entered once"), turn:
        pass
    assert list(store.list_turns()) == []
    begun(store).end()


def test_a_turn_that_runs_is_not_entered_again(store: SessionStore) -> None:
    with store.turn(source("ada"), "m-1") as turn:
        with pytest.raises(RuntimeError, match="entered once"), turn:
            pass
        assert not turn.lost
        assert turn.end(output_tokens=1).output_tokens == 1
    with pytest.raises(DuplicateMessage):
        begun(store, message_id="m-1")


@pytest.mark.parametrize(
    "use",
    [
        lambda turn: turn.entry,
        lambda turn: turn.fence,
        lambda turn: turn.created,
        lambda turn: turn.reset_reason,
        lambda turn: turn.lease,
        lambda turn: turn.update(),
        lambda turn: turn.end(),
        lambda turn: turn.give_up(),
    ],
)
def test_a_turn_that_has_not_begun_is_no_lost_one(
    store: SessionStore, use: Callable[[Any], object]
) -> None:
    turn = store.turn(source("ada"), "m-1")
    with pytest.raises(RuntimeError, match="has not begun"):
        use(turn)
    assert (turn.session_key, turn.message_id) == (ADA, "m-1")
    assert (turn.ended, turn.lost) == (False, False)
    assert store.get_session(ADA) is None


def test_a_message_that_is_given_up_may_come_again(store: SessionStore) -> None:
    with store.turn(source("ada"), "m-1") as turn:
        turn.update(output_tokens=1)
        turn.give_up()
        assert turn.ended
        assert list(store.list_turns()) == []
        with pytest.raises(TurnLost, match="has ended"):
            turn.update(output_tokens=1)
        turn.give_up()
        # The end of the block must not end this one, which has the same session and message.
        again = begun(store, message_id="m-1")
    again.update(output_tokens=1)
    assert again.end().output_tokens == 2
    with pytest.raises(DuplicateMessage):
        begun(store, message_id="m-1")


def test_a_turn_that_was_given_up_is_at_once_the_next_ones(store: SessionStore) -> None:
    turn = begun(store, message_id="m-1")
    turn.give_up()
    entry = begun(store, message_id="m-1").end()
    assert (entry.resume_pending, entry.interruptions) == (False, 0)


def test_giving_up_what_is_done_changes_nothing(store: SessionStore) -> None:
    turn = begun(store, message_id="m-1")
    turn.end()
    turn.give_up()
    with pytest.raises(DuplicateMessage):
        begun(store, message_id="m-1")


def test_giving_up_what_was_lost_is_nothing_to_the_next_turn(
    stores: ClockedStores,
) -> None:
    store = stores.open()
    turn = begun(store, message_id="m-1")
    stores.lapse()
    assert store.recover_turns() == 1
    again = begun(store, message_id="m-1")
    turn.give_up()
    assert again.end(output_tokens=1).output_tokens == 1


async def later(_: object) -> None:
    raise AssertionError("nobody awaits it")


class Later:
    """Something that is called like a function, and has to be awaited."""

    async def __call__(self, _: object) -> None:
        raise AssertionError("nobody awaits it")


@pytest.mark.parametrize("on_lost", [later, Later(), "later"])
def test_a_callback_that_would_have_to_be_awaited_is_refused(
    store: SessionStore, on_lost: Any
) -> None:
    with pytest.raises(InvalidInput) as refused:
        store.turn(source("ada"), on_lost=on_lost)
    assert refused.value.field == "on_lost"
    with pytest.raises(InvalidInput) as refused:
        store.hold_process(ADA, "cron", on_lost=on_lost)
    assert refused.value.field == "on_lost"
