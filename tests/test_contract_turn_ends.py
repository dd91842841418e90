"""What another finds out about a turn while its end is under way, through both faces.

The end is done on the server, and its reply is not there yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redisstore import SessionStore, StoreUnavailable, TurnLost
from redisstore.calls.turn_replies import Ended
from tests.entries import key
from tests.turns import begun

ADA = key("ada")


class Meanwhile:
    """Does something between an end and its reply."""

    def __init__(self, store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inner: Any = getattr(store, "_store", store)
        self.register = self.inner._turns
        self._patch = monkeypatch
        self.found: Any = None

    def do(self, what: Callable[[], Any], *, failure: Exception | None = None) -> None:
        """Do this, once, as the next turn ends; the end then fails so, if it is to."""
        complete = self.register._complete

        async def tasks(steps: Any, **more: Any) -> Any:
            reply = await complete(steps, **more)
            if isinstance(reply, Ended):
                self._patch.setattr(self.register, "_complete", complete)
                self.found = await what()
                if failure is not None:
                    raise failure
            return reply

        def threads(steps: Any, **more: Any) -> Any:
            reply = complete(steps, **more)
            if isinstance(reply, Ended):
                self._patch.setattr(self.register, "_complete", complete)
                self.found = what()
                if failure is not None:
                    raise failure
            return reply

        face = threads if isinstance(self.inner, SessionStore) else tasks
        self._patch.setattr(self.register, "_complete", face)


@pytest.fixture
def meanwhile(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    return Meanwhile(store, monkeypatch)


def test_a_turn_that_ends_during_a_renewal_is_not_lost(
    store: SessionStore, meanwhile: Meanwhile, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Any] = []
    turn = begun(store, message_id="m-1", on_lost=told.append)
    meanwhile.do(meanwhile.register._keeper._renew_all)
    assert turn.end(output_tokens=1).output_tokens == 1
    assert meanwhile.found
    assert (turn.ended, turn.lost, told) == (True, False, [])
    assert "is lost" not in caplog.text


def test_a_turn_that_a_renewal_misses_while_its_end_fails_is_lost(
    store: SessionStore, meanwhile: Meanwhile
) -> None:
    """Nobody renews it any more, and nobody knows what became of it."""
    told: list[Any] = []
    turn = begun(store, message_id="m-1", on_lost=lambda turn: told.append(turn.token))
    meanwhile.do(meanwhile.register._keeper._renew_all, failure=StoreUnavailable("cut off"))
    with pytest.raises(StoreUnavailable):
        turn.end()
    assert (turn.ended, turn.lost, told) == (False, True, [turn.token])


def test_a_turn_whose_end_finds_it_lost_is_told_once(store: SessionStore) -> None:
    told: list[Any] = []
    turn = begun(store, message_id="m-1", on_lost=lambda turn: told.append(turn.token))
    assert store.revoke_turn(ADA, turn.token)
    with pytest.raises(TurnLost):
        turn.end()
    assert (turn.lost, told) == (True, [turn.token])


def test_a_drain_does_not_cut_what_has_just_ended(
    store: SessionStore, meanwhile: Meanwhile
) -> None:
    told: list[Any] = []
    lost = begun(store, "bob", "m-2", on_lost=lambda turn: told.append(turn.session_key))
    cut = begun(store, "cay", "m-3", on_lost=lambda turn: told.append(turn.session_key))
    assert store.revoke_turn(key("bob"), lost.token)
    turn = begun(store, message_id="m-1", on_lost=lambda turn: told.append(turn.session_key))
    meanwhile.do(lambda: meanwhile.inner.drain(grace=0))
    assert turn.end(output_tokens=1).output_tokens == 1
    assert (turn.ended, turn.lost) == (True, False)
    assert (lost.lost, cut.lost, sorted(told)) == (True, True, [key("bob"), key("cay")])
    drained = meanwhile.found
    assert (drained.finished, sorted(drained.cut)) == (1, [key("bob"), key("cay")])
    entry = store.get_session(ADA)
    assert entry is not None
    assert not entry.resume_pending
