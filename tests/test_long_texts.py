"""Long texts of the origin are stored in pieces, and the chat's name is the display name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from redisstore import SessionEntry, SessionSource, SessionStore, StoreConfig
from redisstore.config import LARGEST_ENTRY
from redisstore.fields import decode_entry, encode_entry, flatten
from tests.conftest import Sites
from tests.entries import DAY, NOW, aged, key, put
from tests.servers import BACKEND_NAMES

PLACE = "{redisstore}:entry:"
LONG = "ありがとう, " * 30
SHORT_PIECE = "🜂a" + "🜂" * 14
"""What is stored as a piece of 61 bytes where more of it follows; none is shorter."""
SOURCE = SessionSource(platform="telegram", chat_id="42", chat_name=LONG, user_name="é" * 33)


def stored(entry: SessionEntry) -> SessionEntry:
    """Return what is read of an entry that was written."""
    flat = flatten([*encode_entry(entry).items(), ("version", str(entry.version))])
    return decode_entry(entry.session_key, "", [part.encode() for part in flat])


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from([None, "", "the chat's", "another"]),
)
def test_texts_are_read_as_they_were_written(
    topic: str, name: str | None, display_name: str | None
) -> None:
    chat_name = "the chat's" if name is None else name
    origin = SessionSource(platform="slack", chat_id="1", chat_name=chat_name, chat_topic=topic * 9)
    entry = aged("1", DAY, origin=origin, display_name=display_name)
    assert stored(entry) == entry
    nameless = entry.model_copy(update={"origin": origin.model_copy(update={"chat_name": None})})
    assert stored(nameless) == nameless


def test_no_piece_is_longer_than_a_small_hash_may_have() -> None:
    fields = encode_entry(aged("1", DAY, origin=SOURCE, display_name=LONG))
    assert {name for name in fields if " " in name} >= {"chat_name 2", "chat_name 9", "user_name 2"}
    assert max(len(value.encode()) for value in fields.values()) <= 64
    assert "display_name" not in fields


def test_fields_with_a_space_that_are_no_pieces_are_passed_over() -> None:
    known = [("session_id", "s"), ("created_at", "1"), ("updated_at", "1"), ("version", "1")]
    others = [("platform", "p"), ("to come 2", "x"), ("chat_name two", "x"), ("version 2", "x")]
    flat = [part.encode() for part in flatten([*others, *known])]
    entry = decode_entry(key("1"), "", flat)
    assert entry.origin == SessionSource(platform="p")
    assert entry.version == 1


@pytest.fixture(params=BACKEND_NAMES)
def raw(request: pytest.FixtureRequest, sites: Sites) -> Iterator[redis.Redis]:
    with sites.server(request.param).client() as client:
        client.flushdb()
        yield client
        client.flushdb()


def test_a_session_with_long_names_is_stored_compactly(raw: redis.Redis) -> None:
    store = SessionStore(raw, config=StoreConfig())
    entry = store.get_or_create_session(SOURCE)
    assert entry.origin == SOURCE
    assert entry.display_name == LONG
    assert store.get_session(entry.session_key) == entry
    assert raw.object("encoding", PLACE + entry.session_key) == b"listpack"
    assert list(store.audit()) == []


def test_nothing_is_left_of_a_longer_text_that_an_import_replaced(raw: redis.Redis) -> None:
    store = SessionStore(raw, config=StoreConfig())
    ages = (3 * DAY, 2 * DAY, DAY)
    topics = (LONG, LONG[:70], "short")
    for age, topic in zip(ages, topics, strict=True):
        origin = SOURCE.model_copy(update={"chat_topic": topic, "chat_name": topic})
        entry = aged("42", age, origin=origin, display_name=topic)
        put(store, [entry])
        found = store.get_session(key("42"))
        assert found is not None
        assert (found.origin, found.display_name) == (origin, topic)
    sizes = [len(topic) for topic in topics]
    assert all(longer > shorter for longer, shorter in pairwise(sizes))
    names: list[Any] = list(raw.hkeys(PLACE + key("42")))
    assert {name for name in names if b" " in name} == {b"user_name 2"}


def test_a_display_name_can_be_taken_away_and_given_back(raw: redis.Redis) -> None:
    store = SessionStore(raw, config=StoreConfig())
    entry = store.get_or_create_session(SOURCE)
    for name in (None, "Ada", None, LONG):
        amended = store.amend_session(entry.session_key, {"display_name": name})
        assert amended is not None
        assert amended.display_name == name
        assert amended.origin == SOURCE
        assert store.get_session(entry.session_key) == amended
    store.amend_session(entry.session_key, {"display_name": None})
    renamed = store.reset_session(entry.session_key, "Grace")
    assert renamed is not None
    assert renamed.display_name == "Grace"


def shortest_pieces(name: str, entry_bytes: int) -> str:
    """Return a text that fills an entry, but for the other fields, with as many as it may have."""
    with_name = len(SHORT_PIECE.encode()) + len(f"{name} 9999")
    return SHORT_PIECE * ((entry_bytes - 500) // with_name)


def test_the_largest_entry_that_may_be_set_is_written_in_any_shape(raw: redis.Redis) -> None:
    """Each piece is a field, and Lua hands a command only some thousand values."""
    store = SessionStore(raw, config=StoreConfig(max_entry_bytes=LARGEST_ENTRY))
    topic = shortest_pieces("chat_topic", LARGEST_ENTRY)
    new = SessionSource(platform="telegram", chat_id="1", chat_topic=topic)
    assert store.get_or_create_session(new).origin == new
    other = new.model_copy(update={"chat_id": "2"})
    with store.turn(other) as turn:
        assert turn.entry.origin == other
    # An import takes what has grown to twice as much.
    user_id = shortest_pieces("user_id", 2 * LARGEST_ENTRY)
    origin = SessionSource(platform="telegram", chat_id="3", user_id=user_id)
    for age in (3 * DAY, 2 * DAY):
        put(store, [aged("3", age, origin=origin)])
        assert raw.hlen(PLACE + key("3")) > 3500
        found = store.get_session(key("3"))
        assert found is not None
        assert (found.origin, found.updated_at) == (origin, NOW - age)
    put(store, [aged("3", DAY)])
    assert raw.hlen(PLACE + key("3")) < 20
    assert list(store.audit()) == []


def test_no_larger_entry_may_be_set() -> None:
    with pytest.raises(ValidationError, match="max_entry_bytes"):
        StoreConfig(max_entry_bytes=LARGEST_ENTRY + 1)
