"""Two gateways, one store: whichever of them a message comes to, the conversation is the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from .model import answer_to
from .pair import Pair
from .phone import Chat


def test_a_conversation_goes_on_on_the_other_gateway(pair: Pair, chat: Chat) -> None:
    pair.start_both()
    assert f"redisstore: sessions live in {pair.redis.url()}" in pair.one.recent_log()

    pair.talk(pair.one, chat, "msg-begun")
    session_id = pair.session_id(chat)
    pair.talk(pair.two, chat, "msg-gone-on")
    assert pair.session_id(chat) == session_id
    assert answer_to("msg-begun") in pair.model.last_request("msg-gone-on").history

    pair.talk(pair.one, chat, "msg-back")
    assert pair.session_id(chat) == session_id
    assert answer_to("msg-gone-on") in pair.model.last_request("msg-back").history


def test_a_message_that_is_delivered_to_both_is_answered_once(pair: Pair, chat: Chat) -> None:
    pair.start_both()
    with pair.model.holding("msg-both") as held:
        for gateway in pair.gateways:
            gateway.deliver(chat, "msg-both")
        held.wait()
    pair.wait_answered(chat, "msg-both")
    for gateway in pair.gateways:
        gateway.deliver(chat, "msg-both")

    pair.talk_to_both(chat, "msg-after-both")
    assert pair.model.asked("msg-both") == 1
    assert pair.answers(chat, "msg-both") == 1


def test_a_message_waits_for_the_turn_on_the_other_gateway(pair: Pair, chat: Chat) -> None:
    pair.start_both()
    with pair.model.holding("msg-ahead") as held:
        pair.one.deliver(chat, "msg-ahead")
        held.wait()
        pair.two.deliver(chat, "msg-behind")
        pair.wait_until(chat, lambda: pair.waiting(chat) == 1, "a second turn in line")
        assert pair.model.asked("msg-behind") == 0
        held.release()
        pair.wait_answered(chat, "msg-behind")
    assert answer_to("msg-ahead") in pair.model.last_request("msg-behind").history


def test_a_new_conversation_begun_on_one_holds_on_the_other(pair: Pair, chat: Chat) -> None:
    pair.start_both()
    pair.talk(pair.one, chat, "msg-old-one")
    pair.talk(pair.two, chat, "msg-old-two")
    old = pair.session_id(chat)

    pair.one.deliver(chat, "/new", "new-1")
    pair.wait_until(chat, lambda: pair.session_id(chat) != old, "a new conversation")
    new = pair.session_id(chat)

    pair.talk(pair.two, chat, "msg-new-two")
    assert pair.session_id(chat) == new
    assert "msg-old" not in pair.model.last_request("msg-new-two").history
    pair.talk(pair.one, chat, "msg-new-one")
    assert pair.session_id(chat) == new
    history = pair.model.last_request("msg-new-one").history
    assert answer_to("msg-new-two") in history
    assert "msg-old" not in history


def test_a_conversation_that_the_records_have_closed_is_answered(pair: Pair, chat: Chat) -> None:
    pair.start_both()
    pair.talk(pair.one, chat, "msg-before-closing")
    with closing(sqlite3.connect(pair.one.home / "state.db", timeout=30)) as records, records:
        records.execute(
            "UPDATE sessions SET ended_at = 1, end_reason = 'session_reset' WHERE id = ?",
            (pair.session_id(chat),),
        )
    pair.talk_to_both(chat, "msg-after-closing")
    assert pair.answers(chat, "msg-after-closing-one") == 1
