"""A Redis that goes away and comes back: people are told, and the conversation goes on."""

from __future__ import annotations

from .gateway import Gateway
from .model import answer_to
from .pair import Pair
from .phone import Chat

NOTICE = "session store"


def deliver_during_outage(pair: Pair, chat: Chat, name: str, *gateways: Gateway) -> None:
    """Deliver a message while the store is away, and wait until each gateway has said so."""
    told = len(pair.phone.texts(chat))
    for gateway in gateways:
        gateway.deliver(chat, name)
    pair.wait_until(
        chat,
        lambda: len(pair.phone.texts(chat)) >= told + len(gateways),
        "word of the outage",
    )
    assert all(NOTICE in text for text in pair.phone.texts(chat)[told:])
    assert all(gateway.healthy() for gateway in gateways)


def test_an_outage_is_told_and_the_conversation_goes_on_after_it(pair: Pair, chat: Chat) -> None:
    pair.start_both()
    pair.talk_to_both(chat, "msg-before-outage")
    session_id = pair.session_id(chat)
    texts = len(pair.phone.texts(chat))

    pair.redis.stop()
    deliver_during_outage(pair, chat, "msg-in-outage", *pair.gateways)
    pair.redis.start()

    pair.talk_to_both(chat, "msg-after-outage")
    assert pair.session_id(chat) == session_id
    assert pair.model.asked("msg-in-outage") == 0
    assert len(pair.phone.texts(chat)) == texts + 4

    pair.talk(pair.two, chat, "msg-in-outage")
    assert pair.answers(chat, "msg-in-outage") == 1


def test_an_outage_in_mid_turn_ends_with_the_store_coming_back(pair: Pair, chat: Chat) -> None:
    pair.start_both()
    pair.talk(pair.one, chat, "msg-before-break")
    with pair.model.holding("msg-in-break") as held:
        pair.one.deliver(chat, "msg-in-break")
        held.wait()
        pair.redis.stop()
        held.release()
        pair.wait_for(chat, answer_to("msg-in-break"))
    pair.redis.start()

    pair.talk_to_both(chat, "msg-after-break")
    assert answer_to("msg-in-break") in pair.model.last_request("msg-after-break-one").history


def test_a_redis_that_hangs_does_not_stop_the_gateway(pair: Pair, chat: Chat) -> None:
    pair.start_both()
    pair.talk(pair.one, chat, "msg-before-hang")
    with pair.redis.paused():
        deliver_during_outage(pair, chat, "msg-in-hang", pair.one)
    pair.talk_to_both(chat, "msg-after-hang")
