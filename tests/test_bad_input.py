"""Bad input is refused by name before anything is sent; strange input is read back exactly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from redisstore import (
    EntryTooLarge,
    InvalidInput,
    ModelOverride,
    RedisStoreError,
    SessionResetPolicy,
    SessionSource,
    SessionStore,
    StoreConfig,
    StoreUnavailable,
)
from tests.conftest import OpenStore

KEY: Any = "agent:main:telegram:dm:42"
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - the point of the test
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def unreachable() -> SessionStore:
    """A store that fails as soon as it sends anything."""
    config = StoreConfig(url=NOWHERE, deadline=0.1, socket_timeout=0.05)
    return SessionStore.from_url(config=config)


async def awaited(_: object) -> None:
    """A callback that threads would not await."""


REFUSED: list[tuple[str, Callable[[SessionStore], object]]] = [
    ("session_key", lambda s: s.get_session("")),  # type: ignore[arg-type]
    ("session_key", lambda s: s.get_session(None)),  # type: ignore[arg-type]
    ("session_key", lambda s: s.get_session(7)),  # type: ignore[arg-type]
    ("session_key", lambda s: s.get_session(b"bytes")),  # type: ignore[arg-type]
    ("session_key", lambda s: s.suspend_session("lone \ud800")),  # type: ignore[arg-type]
    ("session_key", lambda s: s.delete_session("x" * 1_000_000)),  # type: ignore[arg-type]
    ("session_id", lambda s: s.switch_session(KEY, "")),  # type: ignore[arg-type]
    ("session_id", lambda s: s.switch_session(KEY, 5)),  # type: ignore[arg-type]
    ("session_id", lambda s: s.switch_session(KEY, "x" * 1_000_000)),  # type: ignore[arg-type]
    ("session_id", lambda s: s.lookup_by_session_id("")),  # type: ignore[arg-type]
    ("source", lambda s: s.get_or_create_session({"platform": "x"})),  # type: ignore[arg-type]
    ("last_prompt_tokens", lambda s: s.update_session(KEY, -1)),
    ("last_prompt_tokens", lambda s: s.update_session(KEY, 1.5)),  # type: ignore[arg-type]
    ("input_tokens", lambda s: s.update_session(KEY, input_tokens=-1)),
    ("output_tokens", lambda s: s.update_session(KEY, output_tokens=True)),
    ("total_tokens", lambda s: s.update_session(KEY, total_tokens=2**60)),
    ("estimated_cost_usd", lambda s: s.update_session(KEY, estimated_cost_usd=-1)),
    ("estimated_cost_usd", lambda s: s.update_session(KEY, estimated_cost_usd=float("nan"))),
    ("estimated_cost_usd", lambda s: s.update_session(KEY, estimated_cost_usd="a dollar")),
    ("cost_status", lambda s: s.update_session(KEY, cost_status="")),
    ("if_version", lambda s: s.update_session(KEY, if_version=0)),
    ("if_session_id", lambda s: s.update_session(KEY, if_session_id="")),  # type: ignore[arg-type]
    ("reason", lambda s: s.mark_resume_pending(KEY, "")),
    ("display_name", lambda s: s.reset_session(KEY, "x" * 1_000_000)),
    ("override.api_key", lambda s: s.set_model_override(KEY, {"api_key": "sk-secret"})),
    ("override.model", lambda s: s.set_model_override(KEY, {"model": ""})),
    ("display_name", lambda s: s.amend_session(KEY, {"display_name": ""})),
    ("override.base_url", lambda s: s.set_model_override(KEY, {"base_url": "https://a:b@c/"})),
    ("process_id", lambda s: s.take_hold(KEY, "")),
    ("ttl", lambda s: s.take_hold(KEY, "p", ttl=0)),
    ("ttl", lambda s: s.take_hold(KEY, "p", ttl=3601)),
    ("ttl", lambda s: s.take_hold(KEY, "p", ttl=float("nan"))),
    ("active_minutes", lambda s: list(s.list_sessions(active_minutes=-1))),
    ("limit", lambda s: list(s.list_sessions(limit=-1))),
    ("limit", lambda s: list(s.list_sessions(limit=1.5))),  # type: ignore[arg-type]
    ("only", lambda s: list(s.list_sessions(only="broken"))),  # type: ignore[arg-type]
    ("before", lambda s: s.prune_old_entries(before=NAIVE)),
    ("before", lambda s: s.prune_old_entries(before="2026-01-01")),  # type: ignore[arg-type]
    ("before", lambda s: s.prune_old_entries(before=datetime(1969, 1, 1, tzinfo=UTC))),
    ("before", lambda s: s.prune_old_entries(1, before=datetime.now(UTC))),
    ("max_age_days", lambda s: s.prune_old_entries("90")),  # type: ignore[arg-type]
    ("max_age_days", lambda s: s.prune_old_entries(float("nan"))),
    ("max_age_seconds", lambda s: s.suspend_recently_active(-1)),
    ("max_age_seconds", lambda s: s.suspend_recently_active("2")),  # type: ignore[arg-type]
    ("on_expired", lambda s: s.maintenance(awaited)),
]


@pytest.mark.parametrize(("field", "call"), REFUSED, ids=[field for field, _ in REFUSED])
def test_bad_arguments_are_named_before_anything_is_sent(
    unreachable: SessionStore, field: str, call: Callable[[SessionStore], object]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        call(unreachable)
    assert refused.value.field == field
    assert str(refused.value).startswith(field)
    assert len(str(refused.value)) < 300
    assert "sk-secret" not in str(refused.value)


def test_good_arguments_are_sent(unreachable: SessionStore) -> None:
    with pytest.raises(StoreUnavailable):
        unreachable.get_session(KEY)


@pytest.mark.parametrize(
    "source",
    [
        {"platform": ""},
        {"platform": "a:b"},
        {"platform": "x" * 65},
        {"platform": 7},
        {"platform": "telegram", "chat_id": ""},
        {"platform": "telegram", "chat_id": 42},
        {"platform": "telegram", "chat_id": "lone \udc80"},
        {"platform": "telegram", "user_id": ""},
        {"platform": "telegram", "chat_type": "d m"},
        {"platform": "telegram", "is_bot": "yes"},
        {"platform": "telegram", "chat_name": "\ud800"},
        {"platform": "telegram", "profile": ""},
        {"platform": "telegram", "auto_thread_created": "yes"},
        {"platform": "telegram", "auto_thread_initial_name": 5},
        {"platform": "telegram", "chatid": "misspelt"},
        {},
    ],
    ids=str,
)
def test_a_bad_source_is_named(source: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        SessionSource.model_validate(source)
    wrong = [name for name in source if name != "platform"] or ["platform"]
    assert refused.value.errors()[0]["loc"] == (wrong[0],)


STRANGE = [
    "{}",
    "{redisstore}:meta",
    "a}b{c",
    "new\nline and \r return",
    "NUL \0 inside",
    "emoji 🚀 and 王伟 and مريم",
    "glob *?[a-z]",
    "quotes ' \" \\ back",
    "%s %d {0} $1",
    " leading and trailing ",
    "colons:in:it",
    "-1",
    "0x10",
    "\x1b[31mred",
]


@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_strange_text_is_read_back_exactly(store: SessionStore, text: str) -> None:
    source = SessionSource(
        platform="telegram", chat_id=text, chat_name=text, user_id=text, chat_topic=text
    )
    entry = store.get_or_create_session(source)
    assert entry.origin == source
    assert store.get_or_create_session(source).session_id == entry.session_id
    assert store.set_model_override(entry.session_key, ModelOverride(model=text))
    assert store.mark_resume_pending(entry.session_key, text)
    switched = store.switch_session(entry.session_key, text)  # type: ignore[arg-type]
    assert switched is not None
    assert switched.session_id == text
    assert store.lookup_by_session_id(switched.session_id) == switched
    named: Any = {"display_name": text, "resume_reason": text, "session_id": text + "'s next"}
    amended = store.amend_session(entry.session_key, named)
    assert amended is not None
    assert (amended.display_name, amended.session_id) == (text, text + "'s next")
    assert store.lookup_by_session_id(amended.session_id) == amended
    store.take_hold(entry.session_key, text)
    assert set(store.list_holds(entry.session_key)) == {text}
    assert [found.session_key for found in store.list_sessions()] == [entry.session_key]
    assert list(store.audit()) == []
    assert store.prune_old_entries(before=datetime.now(UTC)).removed in {0, 1}
    store.release_hold(entry.session_key, text)
    assert store.delete_session(entry.session_key)
    assert not store.has_any_sessions()


def test_a_source_over_the_limit_is_refused_by_its_largest_field(store: SessionStore) -> None:
    huge = SessionSource(platform="telegram", chat_id="1", chat_topic="x" * 1_000_000)
    with pytest.raises(EntryTooLarge, match=r"chat_topic: takes \d+ of \d+ bytes"):
        store.get_or_create_session(huge)
    with pytest.raises(EntryTooLarge, match="session_key"):
        store.get_or_create_session(SessionSource(platform="telegram", chat_id="x" * 1_000_000))
    assert not store.has_any_sessions()


def test_a_counter_stops_at_its_limit(store: SessionStore) -> None:
    entry = store.get_or_create_session(SessionSource(platform="telegram", chat_id="1"))
    store.update_session(entry.session_key, input_tokens=2**53 - 1)
    with pytest.raises(EntryTooLarge, match="input_tokens: would reach"):
        store.update_session(entry.session_key, input_tokens=1)
    found = store.get_session(entry.session_key)
    assert found is not None
    assert found.input_tokens == 2**53 - 1


@pytest.mark.parametrize(
    "policy",
    [
        {"mode": "weekly"},
        {"mode": None},
        {"at_hour": 24},
        {"at_hour": -1},
        {"at_hour": 4.5},
        {"at_hour": True},
        {"idle_minutes": 0},
        {"idle_minutes": -5},
        {"idle_minutes": "60"},
        {"idle": 5},
    ],
    ids=str,
)
def test_a_bad_policy_is_named(policy: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        SessionResetPolicy.model_validate(policy)
    assert refused.value.errors()[0]["loc"] == tuple(policy)


@pytest.mark.parametrize(
    "override",
    [
        {"api_key": "sk-secret"},
        {"model": "m", "token": "sk-secret"},
        {"base_url": "https://user:sk-secret@api.example/v1"},
        {"base_url": "https://sk-secret@api.example/v1"},
        {"base_url": "https://api.example/v1?api_key=sk-secret"},
        {"base_url": "https://api.example/v1?x=1&access_token=sk-secret"},
    ],
    ids=str,
)
def test_a_credential_has_no_place_in_an_override(
    open_store: OpenStore, override: dict[str, str]
) -> None:
    store = open_store()
    entry = store.get_or_create_session(SessionSource(platform="telegram", chat_id="1"))
    with pytest.raises(InvalidInput) as refused:
        store.set_model_override(entry.session_key, override)
    assert "sk-secret" not in str(refused.value)
    assert store.get_model_override(entry.session_key) is None


@pytest.mark.parametrize("error", [InvalidInput("field", "problem"), EntryTooLarge("f", "p")])
def test_bad_input_is_a_value_error_too(error: Exception) -> None:
    assert isinstance(error, ValueError)
    assert isinstance(error, RedisStoreError)
