"""A turn that hangs while its replica lives: its session is taken from it by hand."""

from __future__ import annotations

import threading

import pytest

from redisstore import DuplicateMessage, SessionId, SessionStore, StaleWrite, StoreConfig, TurnLost
from tests.conftest import OpenStore, Site
from tests.entries import key, source
from tests.servers import wait_until
from tests.turns import begun, in_line

KEY = key("ada")


def test_what_it_writes_is_refused_and_nothing_of_its_message_is_lost(store: SessionStore) -> None:
    turn = begun(store, "ada", "m-1")
    assert store.take_message(KEY, "m-2", if_turn=turn)
    assert store.revoke_turn(KEY, turn.token)
    with pytest.raises(TurnLost):
        turn.update(output_tokens=1)
    with pytest.raises(TurnLost):
        turn.end(output_tokens=1)
    with pytest.raises(TurnLost):
        store.suspend_session(KEY, if_turn=turn)
    entry = store.get_session(KEY)
    assert entry is not None
    assert (entry.output_tokens, entry.suspended) == (0, False)
    assert (entry.resume_pending, entry.resume_reason) == (True, "turn_revoked")
    assert list(store.list_turns()) == []
    for message in ("m-1", "m-2"):
        with store.turn(source("ada"), message, 0) as again:
            assert again.entry.session_id == entry.session_id


def test_it_is_told_of_and_counts_as_no_loss_of_a_replica(open_store: OpenStore) -> None:
    store = open_store(suspend_after_interruptions=1)
    turn = begun(store, "ada", "m-1")
    assert store.revoke_turn(KEY, turn.token)
    lost, marked = list(store.events(since="oldest", idle_timeout=0))[-2:]
    assert (lost.kind, lost.reason, lost.session_key) == ("turn_lost", "revoked", KEY)
    assert (marked.kind, marked.reason) == ("resume_pending", "turn_revoked")
    assert store.recover_turns() == 0


def test_its_messages_count_as_handled_if_asked(store: SessionStore) -> None:
    turn = begun(store, "ada", "m-1")
    assert store.take_message(KEY, "m-2", if_turn=turn)
    assert store.revoke_turn(KEY, turn.token, handled=True)
    entry = store.get_session(KEY)
    assert entry is not None
    assert not entry.resume_pending
    for message in ("m-1", "m-2"):
        with pytest.raises(DuplicateMessage) as known:
            begun(store, "ada", message)
        assert known.value.state == "done"
    with pytest.raises(TurnLost):
        turn.end()


def test_the_next_in_line_begins(store: SessionStore) -> None:
    turn = begun(store, "ada", "m-1")
    waiting = in_line(store, "ada", "m-2")
    assert store.revoke_turn(KEY, turn.token)
    with waiting:
        (running,) = store.list_turns()
        assert (running.token, running.message_id) == (waiting.token, "m-2")


def test_only_that_very_turn_is_ended(store: SessionStore) -> None:
    first = begun(store, "ada", "m-1")
    first.end()
    assert not store.revoke_turn(KEY, first.token)
    second = begun(store, "ada", "m-2")
    assert not store.revoke_turn(KEY, first.token)
    assert not store.revoke_turn(key("nobody"), second.token)
    assert store.revoke_turn(KEY, second.token)
    assert not store.revoke_turn(KEY, second.token)


def test_one_that_has_not_begun_is_left_alone(store: SessionStore) -> None:
    first = begun(store, "ada", "m-1")
    waiting = in_line(store, "ada", "m-2")
    first.end()
    assert not store.revoke_turn(KEY, waiting.token)
    with waiting as turn:
        turn.end()


def test_a_session_that_was_reset_meanwhile_is_not_marked(store: SessionStore) -> None:
    turn = begun(store, "ada", "m-1")
    entry = store.reset_session(KEY)
    assert entry is not None
    with pytest.raises(StaleWrite):
        turn.update(output_tokens=1)
    assert store.revoke_turn(KEY, turn.token)
    assert store.get_session(KEY) == entry


def test_the_lock_of_a_shared_session_id_is_free_too(store: SessionStore) -> None:
    for name in ("ada", "bob"):
        store.get_or_create_session(source(name))
        store.switch_session(key(name), SessionId("shared"))
    turn = begun(store, "ada", "m-1")
    assert store.revoke_turn(KEY, turn.token)
    with store.turn(source("bob"), "m-2", 0) as other:
        assert other.entry.session_id == "shared"


@pytest.mark.parametrize("site", ["valkey-9.1"], indirect=True)
def test_a_handler_that_hangs_is_told_by_the_next_renewal(site: Site, namespace: str) -> None:
    config = StoreConfig(url=site.url, namespace=namespace, turn_lease_ttl=1)
    hung, told = threading.Event(), threading.Event()

    def handle() -> None:
        with replica.turn(source("ada"), on_lost=lambda _: told.set()):
            hung.set()
            told.wait(20)

    def hang() -> None:
        with pytest.raises(TurnLost):
            handle()

    with (
        SessionStore.from_url(config=config) as replica,
        SessionStore.from_url(config=config) as me,
    ):
        handler = threading.Thread(target=hang)
        handler.start()
        assert hung.wait(20)
        (running,) = me.list_turns()
        assert me.revoke_turn(KEY, running.token)
        wait_until(told.is_set)
        handler.join()
        me.delete_session(KEY)
