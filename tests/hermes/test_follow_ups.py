"""Messages that come one right after the other."""

from __future__ import annotations

from .model import answer_to
from .pair import Pair
from .phone import Chat


def test_a_message_right_behind_an_answer_is_answered_too(pair: Pair, chat: Chat) -> None:
    pair.start_both()
    pair.talk(pair.one, chat, "msg-quick")
    # Each comes while the turn before it is ending; some of them at its last moments.
    for number in range(12):
        pair.one.deliver(chat, f"msg-quick-{number}")
        pair.wait_for(chat, answer_to(f"msg-quick-{number}"))
