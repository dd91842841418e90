"""Putting right what is stored of a session: field by field, through both faces."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from redisstore import (
    Amendments,
    EntryTooLarge,
    InvalidInput,
    ModelOverride,
    SessionEntry,
    SessionId,
    SessionKey,
    SessionResetPolicy,
    SessionSource,
    SessionStore,
    StaleWrite,
    StoreConfig,
    TurnLost,
)
from tests.conftest import OpenStore
from tests.entries import DAY, aged, key, put
from tests.turns import begun

ADA = SessionSource(platform="telegram", chat_id="42", chat_name="Ada", user_id="7")
KEY = SessionKey("agent:main:telegram:dm:42")
NOBODY = key("nobody")
MARKED_AT = datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)
OVERRIDE = ModelOverride(model="opus", provider="anthropic", base_url="https://api.example/v1")
FIELDS: dict[str, tuple[Any, Any]] = {
    "display_name": ("Countess", None),
    "input_tokens": (12, 0),
    "output_tokens": (34, 0),
    "cache_read_tokens": (5, 0),
    "cache_write_tokens": (6, 0),
    "total_tokens": (2**53 - 1, 0),
    "last_prompt_tokens": (1200, 0),
    "estimated_cost_usd": (Decimal("0.000000001"), Decimal(0)),
    "cost_status": ("estimated", "unknown"),
    "was_auto_reset": (True, False),
    "auto_reset_reason": ("idle", None),
    "reset_had_activity": (True, False),
    "is_fresh_reset": (True, False),
    "expiry_finalized": (True, False),
    "resume_pending": (True, False),
    "resume_reason": ("restart_timeout", None),
    "last_resume_marked_at": (MARKED_AT, None),
    "model_override": (OVERRIDE, None),
}
"""A value for each field, and the one that takes it away."""


@pytest.fixture
def ada(store: SessionStore) -> SessionEntry:
    return store.get_or_create_session(ADA)


def amended(store: SessionStore, changes: Any, **only: Any) -> SessionEntry:
    entry = store.amend_session(KEY, changes, **only)
    assert entry is not None
    assert entry == store.get_session(KEY)
    return entry


def raised(entry: SessionEntry, **changes: Any) -> SessionEntry:
    """The entry as it should be after one change: not active, its version one higher."""
    return entry.model_copy(update={"version": entry.version + 1, **changes})


def test_all_that_can_be_put_right_is_tried_here() -> None:
    assert FIELDS.keys() | {"session_id"} == Amendments.__annotations__.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_set_and_taken_away(store: SessionStore, ada: SessionEntry, name: str) -> None:
    value, nothing = FIELDS[name]
    with_it = amended(store, {name: value})
    assert with_it == raised(ada, **{name: value})
    assert amended(store, {name: value}) == with_it
    without = amended(store, {name: nothing})
    assert without == raised(with_it, **{name: nothing})
    assert amended(store, {name: nothing}) == without


def test_many_fields_are_one_change(store: SessionStore, ada: SessionEntry) -> None:
    everything = {name: value for name, (value, _) in FIELDS.items()}
    entry = amended(store, everything)
    assert entry == raised(ada, **everything)
    nothing = {name: empty for name, (_, empty) in FIELDS.items()}
    assert amended(store, nothing) == raised(entry, **nothing)


def test_what_is_as_it_should_be_is_no_change(store: SessionStore, ada: SessionEntry) -> None:
    assert amended(store, {}) == ada
    assert amended(store, {"session_id": ada.session_id, "display_name": "Ada"}) == ada


def test_an_override_is_replaced_as_a_whole(store: SessionStore, ada: SessionEntry) -> None:
    store.set_model_override(ada.session_key, OVERRIDE)
    entry = amended(store, {"model_override": {"model": "haiku"}})
    assert entry.model_override == ModelOverride(model="haiku")


def test_an_unknown_key_is_none_and_makes_nothing(store: SessionStore) -> None:
    changes: Amendments = {"display_name": "Ada", "session_id": SessionId("another")}
    assert store.amend_session(NOBODY, changes) is None
    assert not store.has_any_sessions()


def test_putting_right_is_not_activity(store: SessionStore) -> None:
    put(store, [aged("old", 30 * DAY)])
    before = store.get_session(key("old"))
    assert before is not None
    changes: Amendments = {"total_tokens": 5, "session_id": SessionId("another")}
    after = store.amend_session(key("old"), changes)
    assert after is not None
    assert (after.updated_at, after.created_at) == (before.updated_at, before.created_at)
    assert after.replica == before.replica
    assert store.prune_old_entries(max_age_days=29).removed == 1


def test_an_empty_name_from_an_import_is_taken_away(store: SessionStore) -> None:
    put(store, [aged("old", DAY, display_name="")])
    entry = store.amend_session(key("old"), {"display_name": None})
    assert entry is not None
    assert (entry.display_name, entry.version) == (None, 2)


def test_it_applies_only_under_its_conditions(store: SessionStore, ada: SessionEntry) -> None:
    changes = {"display_name": "Countess", "session_id": "another"}
    with pytest.raises(StaleWrite, match="session_id"):
        amended(store, changes, if_session_id=SessionId("another"))
    with pytest.raises(StaleWrite, match="version"):
        amended(store, changes, if_version=ada.version + 1)
    assert store.get_session(KEY) == ada
    amended(store, changes, if_session_id=ada.session_id, if_version=ada.version)


def test_it_can_be_made_under_a_turn(store: SessionStore) -> None:
    turn = begun(store)
    name = turn.session_key
    assert store.amend_session(name, {"total_tokens": 7}, if_turn=turn) is not None
    assert turn.end(output_tokens=3).total_tokens == 10
    before = store.get_session(name)
    later = begun(store)
    for changes in ({"total_tokens": 0}, {"session_id": SessionId("another")}):
        with pytest.raises(TurnLost):
            store.amend_session(name, changes, if_turn=turn)  # type: ignore[arg-type]
    assert before is not None
    assert later.end().session_id == before.session_id


def test_what_was_closed_by_hand_is_not_due_and_what_was_opened_again_is(
    open_store: OpenStore,
) -> None:
    store = open_store(default_reset_policy=SessionResetPolicy(mode="idle", idle_minutes=60))
    put(store, [aged("ada", timedelta(minutes=90)), aged("bob", timedelta(minutes=1))])
    for name, expired in (("ada", 0), ("bob", 1)):
        store.amend_session(key(name), {"expiry_finalized": True})
        assert (store.count().expiring, store.count().expired) == (1, expired)
        store.amend_session(key(name), {"expiry_finalized": False})
        assert (store.count().expiring, store.count().expired) == (2, 1)


@pytest.fixture(scope="module")
def unreachable() -> SessionStore:
    """A store that fails as soon as it sends anything."""
    config = StoreConfig(url="redis://127.0.0.1:1/0", deadline=0.1, socket_timeout=0.05)
    return SessionStore.from_url(config=config)


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - the point of the test
REFUSED: list[tuple[str, object]] = [
    ("changes", None),
    ("changes", ["display_name"]),
    ("suspended", {"suspended": True}),
    ("updated_at", {"updated_at": MARKED_AT}),
    ("api_key", {"display_name": "Ada", "api_key": "sk-secret"}),
    ("session_id", {"session_id": None}),
    ("session_id", {"session_id": ""}),
    ("session_id", {"session_id": 5}),
    ("session_id", {"session_id": "x" * 2000}),
    ("session_id", {"session_id": "lone \ud800"}),
    ("display_name", {"display_name": ""}),
    ("display_name", {"display_name": 5}),
    ("display_name", {"display_name": "lone \ud800"}),
    ("display_name", {"display_name": "é" * 5000}),
    ("cost_status", {"cost_status": "x" * 65}),
    ("cost_status", {"cost_status": None}),
    ("auto_reset_reason", {"auto_reset_reason": "x" * 257}),
    ("resume_reason", {"resume_reason": "x" * 257}),
    ("input_tokens", {"input_tokens": -1}),
    ("input_tokens", {"input_tokens": True}),
    ("input_tokens", {"input_tokens": "7"}),
    ("input_tokens", {"input_tokens": None}),
    ("total_tokens", {"total_tokens": 2**53}),
    ("last_prompt_tokens", {"last_prompt_tokens": 1.5}),
    ("estimated_cost_usd", {"estimated_cost_usd": 0.5}),
    ("estimated_cost_usd", {"estimated_cost_usd": Decimal(-1)}),
    ("estimated_cost_usd", {"estimated_cost_usd": Decimal("NaN")}),
    ("estimated_cost_usd", {"estimated_cost_usd": Decimal(10**9)}),
    ("was_auto_reset", {"was_auto_reset": 1}),
    ("expiry_finalized", {"expiry_finalized": "yes"}),
    ("last_resume_marked_at", {"last_resume_marked_at": NAIVE}),
    ("last_resume_marked_at", {"last_resume_marked_at": datetime(1969, 1, 1, tzinfo=UTC)}),
    ("last_resume_marked_at", {"last_resume_marked_at": 1763810553123}),
    ("model_override", {"model_override": "opus"}),
    ("model_override.api_key", {"model_override": {"api_key": "sk-secret"}}),
    ("model_override.base_url", {"model_override": {"base_url": "https://u:sk-secret@api/v1"}}),
    ("model_override.base_url", {"model_override": {"base_url": "https://api/?key=sk-secret"}}),
    (
        "model_override.base_url",
        {"model_override": ModelOverride.model_construct(base_url="https://u:sk-secret@api/")},
    ),
    ("override_model", {"model_override": {"model": "m" * 5000}}),
]


@pytest.mark.parametrize(("field", "changes"), REFUSED, ids=[field for field, _ in REFUSED])
def test_what_can_not_be_stored_is_named_before_anything_is_sent(
    unreachable: SessionStore, field: str, changes: Any
) -> None:
    with pytest.raises(InvalidInput) as refused:
        unreachable.amend_session(KEY, changes)
    assert refused.value.field == field
    assert len(str(refused.value)) < 300
    assert "sk-secret" not in str(refused.value)


BAD_CALLS: dict[str, Callable[[SessionStore], object]] = {
    "session_key": lambda s: s.amend_session(SessionKey(""), {}),
    "if_version": lambda s: s.amend_session(KEY, {"total_tokens": 1}, if_version=0),
    "if_session_id": lambda s: s.amend_session(KEY, {}, if_session_id=SessionId("")),
}


@pytest.mark.parametrize("field", BAD_CALLS)
def test_other_bad_arguments_are_named_too(unreachable: SessionStore, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        BAD_CALLS[field](unreachable)
    assert refused.value.field == field


def test_the_limits_are_those_of_the_calls_that_set_the_same(
    store: SessionStore, ada: SessionEntry
) -> None:
    """So what all of them together have stored can be exported and imported."""
    longest = store.config.max_entry_bytes // 2
    assert amended(store, {"display_name": "x" * longest}).version == ada.version + 1
    with pytest.raises(EntryTooLarge):
        store.amend_session(KEY, {"display_name": "x" * (longest + 1)})
    with pytest.raises(EntryTooLarge):
        store.reset_session(KEY, "x" * (longest + 1))
