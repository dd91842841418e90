"""Pages of a list that are asked for together, while sessions move."""

from __future__ import annotations

from typing import Any

from redisstore import SessionEntry, StoreConfig
from redisstore.calls import listing
from redisstore.calls.call import Ask, Context, Found
from redisstore.fields import encode_entry, flatten
from redisstore.keys import KeySpace
from tests.entries import DAY, aged, key

NAMES = "abcdefgh"


def page(*names: str) -> list[Any]:
    """Return what the script answers for these sessions."""
    reply: list[Any] = [b"1", key(names[-1]).encode()]
    for name in names:
        fields = [*encode_entry(session(name)).items(), ("version", "1")]
        reply += [key(name).encode(), [part.encode() for part in flatten(fields)]]
    return reply


def session(name: str) -> SessionEntry:
    return aged(name, NAMES.index(name) * DAY)


def test_a_session_that_a_newer_one_pushed_into_the_next_page_is_listed_once() -> None:
    context = Context(KeySpace("redisstore"), StoreConfig(list_page_size=2))
    sweep = listing.newest_first(context, active_minutes=None, limit=5, only=None)
    step = next(sweep)
    assert isinstance(step, Ask)
    assert [call.args[-1] for call in step.calls] == [0, 2, 4]
    replies = [page("a", "b"), page("b", "c"), page("d", "e")]
    decoded = [call.decode(reply) for call, reply in zip(step.calls, replies, strict=True)]
    found = [sweep.send(decoded), *sweep]
    assert [one.item for one in found if isinstance(one, Found)] == list(map(session, "abcde"))
    assert not any(isinstance(one, Ask) for one in found)
