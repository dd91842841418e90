"""What a message costs the store: at most three round trips, counted at the server."""

from __future__ import annotations

from typing import Any

from redisstore.scripts import library
from tests.servers import wait_until

from .pair import Pair
from .phone import Chat

MOST = 3
SCRIPTS = {script.sha: name for name, script in library(shebang=True).items()}


def test_a_message_costs_three_round_trips_at_the_most(pair: Pair, chat: Chat) -> None:
    pair.start_both()
    pair.talk(pair.one, chat, "msg-warm-up")
    watching: Any = pair.redis.client()  # its monitor is untyped
    with watching.monitor() as monitor:
        pair.talk(pair.one, chat, "msg-counted")
        with pair.store() as store:
            wait_until(lambda: list(store.list_turns()) == [])
        watching_too: Any = pair.redis.client()
        watching_too.echo("that was all")
        asked = []
        for command in monitor.listen():
            text = command["command"]
            if "that was all" in text:
                break
            # What scripts do is told as well; upkeep names no session.
            if command["client_type"] != "lua" and chat.session_key in text:
                asked.append(SCRIPTS.get(text.split()[1], text))
    asked = [name for name in asked if name != "renew_turns"]  # of a turn that lasts
    assert 2 <= len(asked) <= MOST, asked
