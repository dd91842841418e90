"""Gateways that are killed and restarted: nothing is forgotten, and nothing is done twice."""

from __future__ import annotations

from typing import Literal

import pytest

from .pair import Pair
from .phone import Chat


def test_what_a_killed_gateway_was_answering_is_answered_by_the_other(
    pair: Pair, chat: Chat
) -> None:
    pair.start_both()
    pair.talk(pair.one, chat, "msg-before-kill")
    session_id = pair.session_id(chat)
    with pair.model.holding("msg-killed") as held:
        pair.one.deliver(chat, "msg-killed")
        held.wait()
        pair.one.kill()
    # At first its turn counts as running; whoever finds that its lease has lapsed sets it free.
    pair.two.deliver(chat, "msg-killed")
    pair.wait_until(chat, lambda: pair.holder(chat) != "one", "the end of the dead turn")
    pair.two.deliver(chat, "msg-killed")
    pair.wait_answered(chat, "msg-killed")

    pair.talk(pair.two, chat, "msg-after-kill")
    assert pair.answers(chat, "msg-killed") == 1
    assert pair.session_id(chat) == session_id


def test_a_restart_during_the_others_turn_answers_nothing_twice(pair: Pair, chat: Chat) -> None:
    pair.start_both()
    pair.talk(pair.one, chat, "msg-before-restart")
    with pair.model.holding("msg-slow") as held:
        pair.two.deliver(chat, "msg-slow")
        held.wait()
        pair.one.kill()
        pair.start_both()
        held.release()
        pair.wait_answered(chat, "msg-slow")

    pair.talk_to_both(chat, "msg-after-restart")
    # The slow one, and the two after it.
    assert len(pair.model.requests_after("msg-before-restart")) == 3
    assert pair.answers(chat, "msg-slow") == 1


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_two_restarted_gateways_resume_an_interrupted_session_once(
    pair: Pair, chat: Chat, end: Literal["stop", "kill"]
) -> None:
    before = f"msg-before-{end}-of-both"
    pair.start_both()
    pair.talk(pair.one, chat, before)
    with pair.model.holding(f"msg-cut-by-{end}") as held:
        pair.one.deliver(chat, f"msg-cut-by-{end}")
        held.wait()
        for gateway in pair.gateways:
            getattr(gateway, end)()
    cut = len(pair.model.requests_after(before))
    answered = len(pair.answered(chat))

    pair.start_both()
    pair.wait_until(chat, lambda: len(pair.answered(chat)) > answered, "the resumed session")
    pair.talk_to_both(chat, f"msg-after-{end}")
    # The one that resumed it, and the two after it.
    assert len(pair.model.requests_after(before)) == cut + 3
    assert len(pair.answered(chat)) == answered + 3
