"""Messages that reach several replicas while their session is busy, as jobs of worker processes."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from redisstore import DuplicateMessage

from .lanes import key_of, source_of
from .upkeep import Log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from redisstore import SessionStore

__all__ = ["answer_all", "take_commands", "take_each", "take_in_turns"]

_AT_ONCE = 5
"""So many messages a turn answers, at most."""
_FOR_EVER = 600.0


def take_commands(store: SessionStore, name: str, message_ids: Sequence[str]) -> list[str]:
    """Try to get each message, as a command; those that were to be had."""
    return [one for one in message_ids if store.take_message(key_of(name), one)]


def take_each(store: SessionStore, name: str, message_ids: Sequence[str], seed: int) -> list[str]:
    """Try to get each message, as a command or by a turn of its own; those that were to be had."""
    chance, got = random.Random(seed), []
    for message_id in message_ids:
        if chance.randrange(2):
            if store.take_message(key_of(name), message_id):
                got.append(message_id)
        else:
            with suppress(DuplicateMessage), store.turn(source_of(name), message_id):
                got.append(message_id)
    return got


def take_in_turns(store: SessionStore, name: str, message_ids: Sequence[str]) -> list[str]:
    """Try to get each message for a turn that runs anyway; those that were to be had."""
    got = []
    for first in range(0, len(message_ids), _AT_ONCE):
        with store.turn(source_of(name)) as turn:
            some = message_ids[first : first + _AT_ONCE]
            got += [one for one in some if store.take_message(key_of(name), one, if_turn=turn)]
    return got


def answer_all(
    store: SessionStore, name: str, message_ids: Sequence[str], log: Path, seed: int, hangs: bool
) -> None:
    """Answer messages in turns that take others along, until all are done; note both.

    One that hangs is never done with those it has taken first.
    """
    chance, left = random.Random(seed), list(message_ids)
    with Log(log).open() as notes:
        while left:
            own, *others = chance.sample(left, min(_AT_ONCE, len(left)))
            try:
                with store.turn(source_of(name), own) as turn:
                    take = partial(store.take_message, key_of(name), if_turn=turn)
                    answered = [own, *filter(take, others)]
                    notes.write("took", *answered)
                    time.sleep(_FOR_EVER if hangs else chance.random() / 50)
                    turn.end(output_tokens=len(answered))
                    notes.write("answered", *answered)
            except DuplicateMessage as known:
                if known.state == "done":
                    left.remove(own)
