"""A lane whose key is not what its source would make: the gateway's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redisstore import (
    DuplicateMessage,
    EntryTooLarge,
    InvalidInput,
    SessionKey,
    SessionResetPolicy,
    SessionSource,
    SessionStore,
    TurnBusy,
)
from tests.conftest import OpenStore
from tests.entries import DAY, aged, put, source
from tests.turns import begun

OWN = SessionKey("agent:work:telegram:dm:ada")
BUILT = SessionKey("agent:main:telegram:dm:ada")


def test_a_session_is_opened_and_found_under_its_own_key(store: SessionStore) -> None:
    entry = store.get_or_create_session(source("ada"), session_key=OWN)
    assert (entry.session_key, entry.origin) == (OWN, source("ada"))
    again = store.get_or_create_session(source("ada"), session_key=OWN)
    assert (again.session_id, again.version) == (entry.session_id, 2)
    assert store.get_session(OWN) == again
    assert store.get_session(BUILT) is None
    assert store.lookup_by_session_id(entry.session_id) == again


def test_it_is_another_lane_than_the_one_that_is_built(store: SessionStore) -> None:
    own = store.get_or_create_session(source("ada"), session_key=OWN)
    built = store.get_or_create_session(source("ada"))
    assert own.session_id != built.session_id
    assert store.get_or_create_session(source("ada"), session_key=BUILT).version == 2
    turn = begun(store, session_key=OWN)
    begun(store).end()
    turn.end()


def test_several_sources_have_one_lane(store: SessionStore) -> None:
    first = store.get_or_create_session(source("ada"), session_key=OWN)
    alias = store.get_or_create_session(source("ada's other phone"), session_key=OWN)
    assert (alias.session_id, alias.origin) == (first.session_id, source("ada"))


def test_force_new_starts_the_given_lane_anew(store: SessionStore) -> None:
    built = store.get_or_create_session(source("ada"))
    own = store.get_or_create_session(source("ada"), session_key=OWN)
    fresh = store.get_or_create_session(source("ada"), force_new=True, session_key=OWN)
    assert (fresh.session_key, fresh.version) == (OWN, 2)
    assert fresh.session_id != own.session_id
    assert store.get_session(BUILT) == built


def test_turns_take_the_given_lane(store: SessionStore) -> None:
    with store.turn(source("ada"), "m-1", session_key=OWN) as turn:
        assert (turn.session_key, turn.entry.session_key) == (OWN, OWN)
        with pytest.raises(TurnBusy):
            begun(store, "other", session_key=OWN)
        with pytest.raises(DuplicateMessage):
            begun(store, "ada", "m-1", session_key=OWN)
        assert turn.update(output_tokens=1).total_tokens == 1
        turn.end(output_tokens=2)
    entry = store.get_session(OWN)
    assert entry is not None
    assert entry.total_tokens == 3
    with pytest.raises(DuplicateMessage):
        begun(store, "ada", "m-1", session_key=OWN)
    begun(store, "ada", "m-1").end()


def test_a_failed_turn_frees_the_given_lane(store: SessionStore) -> None:
    with pytest.raises(ZeroDivisionError), store.turn(source("ada"), "m-1", session_key=OWN):
        raise ZeroDivisionError
    begun(store, "ada", "m-1", session_key=OWN).end()


def test_the_policy_is_that_of_the_source(open_store: OpenStore) -> None:
    """A lane says nothing of where a message came from."""
    store = open_store(
        reset_by_platform={"telegram": SessionResetPolicy(mode="idle", idle_minutes=60)}
    )
    row = aged("ada", DAY).model_copy(update={"session_key": OWN})
    put(store, [row])
    assert store.get_or_create_session(source("ada"), session_key=OWN).auto_reset_reason == "idle"


@pytest.mark.parametrize("key", ["", "lone \ud800", 7, b"bytes", "x" * 2000])
def test_a_bad_key_is_named_before_anything_is_sent(store: SessionStore, key: Any) -> None:
    calls: tuple[Callable[..., object], ...] = (store.get_or_create_session, store.turn)
    for call in calls:
        with pytest.raises(InvalidInput) as refused:
            call(source("ada"), session_key=key)
        assert refused.value.field == "session_key"
        assert isinstance(refused.value, EntryTooLarge) == (key == "x" * 2000)
    assert store.layout() is None


def test_a_source_without_a_place_of_its_own_can_have_a_key(store: SessionStore) -> None:
    entry = store.get_or_create_session(SessionSource(platform="webhook"), session_key=OWN)
    assert entry.session_key == OWN
