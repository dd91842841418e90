"""What each operation on one session promises, through both faces, on every kind of server."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from redisstore import (
    ModelOverride,
    SessionEntry,
    SessionId,
    SessionKey,
    SessionSource,
    SessionStore,
    StaleWrite,
)
from tests.conftest import OpenStore

ADA = SessionSource(platform="telegram", chat_id="42", chat_name="Ada", user_id="7")
NOBODY = SessionKey("agent:main:telegram:dm:nobody")


@pytest.fixture
def ada(store: SessionStore) -> SessionEntry:
    return store.get_or_create_session(ADA)


def current(store: SessionStore, entry: SessionEntry) -> SessionEntry:
    found = store.get_session(entry.session_key)
    assert found is not None
    return found


def test_a_first_message_makes_a_session(store: SessionStore) -> None:
    before = datetime.now(UTC)
    entry = store.get_or_create_session(ADA)
    assert entry.session_key == "agent:main:telegram:dm:42"
    assert entry.version == 1
    assert entry.origin == ADA
    assert (entry.display_name, entry.platform, entry.chat_type) == ("Ada", "telegram", "dm")
    assert entry.created_at == entry.updated_at
    assert abs((entry.created_at - before).total_seconds()) < 60
    assert (entry.was_auto_reset, entry.is_fresh_reset, entry.suspended) == (False, False, False)
    assert entry.replica == "tester"
    assert current(store, entry) == entry


def test_the_next_message_finds_it(store: SessionStore, ada: SessionEntry) -> None:
    again = store.get_or_create_session(ADA)
    assert again.session_id == ada.session_id
    assert again.version == 2
    assert again.updated_at >= ada.updated_at
    assert again.created_at == ada.created_at
    assert current(store, ada) == again


def test_the_replica_of_the_last_message_is_known(open_store: OpenStore) -> None:
    open_store(replica="left").get_or_create_session(ADA)
    assert open_store(replica="right").get_or_create_session(ADA).replica == "right"


def test_all_of_a_source_is_kept(store: SessionStore) -> None:
    source = SessionSource(
        platform="discord",
        chat_id="c",
        chat_name="Chat",
        chat_type="thread",
        user_id="u",
        user_name="User",
        thread_id="t",
        chat_topic="Topic",
        user_id_alt="ua",
        chat_id_alt="ca",
        is_bot=True,
        guild_id="g",
        parent_chat_id="p",
        message_id="m",
        profile="work",
        auto_thread_created=True,
        auto_thread_initial_name="New thread",
    )
    assert current(store, store.get_or_create_session(source)).origin == source


def test_force_new_starts_anew_without_reset_flags(store: SessionStore, ada: SessionEntry) -> None:
    fresh = store.get_or_create_session(ADA, force_new=True)
    assert fresh.session_id != ada.session_id
    assert (fresh.was_auto_reset, fresh.is_fresh_reset) == (False, False)
    assert fresh.version == 2


def test_reading_touches_and_creates_nothing(store: SessionStore, ada: SessionEntry) -> None:
    assert store.get_session(ada.session_key) == ada
    assert store.get_session(NOBODY) is None
    assert store.get_model_override(NOBODY) is None
    assert store.count_sessions() == 1


def test_update_sets_the_prompt_and_adds_the_rest(store: SessionStore, ada: SessionEntry) -> None:
    store.update_session(
        ada.session_key, 1200, input_tokens=100, output_tokens=20, estimated_cost_usd="0.0000001"
    )
    entry = store.update_session(
        ada.session_key,
        900,
        input_tokens=1,
        cache_read_tokens=30,
        cache_write_tokens=4,
        estimated_cost_usd=0.25,
        cost_status="estimated",
    )
    assert entry is not None
    assert entry.last_prompt_tokens == 900
    assert (entry.input_tokens, entry.output_tokens) == (101, 20)
    assert (entry.cache_read_tokens, entry.cache_write_tokens) == (30, 4)
    assert entry.total_tokens == 155
    assert entry.estimated_cost_usd == Decimal("0.2500001")
    assert entry.cost_status == "estimated"
    assert entry.version == 3
    assert current(store, ada) == entry


def test_a_total_of_ones_own_is_added_as_it_is(store: SessionStore, ada: SessionEntry) -> None:
    entry = store.update_session(ada.session_key, input_tokens=5, total_tokens=3)
    assert entry is not None
    assert entry.total_tokens == 3


def test_update_of_an_unknown_key_makes_nothing(store: SessionStore) -> None:
    assert store.update_session(NOBODY, input_tokens=1) is None
    assert not store.has_any_sessions()


def test_a_suspended_session_starts_anew(store: SessionStore, ada: SessionEntry) -> None:
    store.update_session(ada.session_key, input_tokens=5)
    store.set_model_override(ada.session_key, {"model": "m"})
    assert store.suspend_session(ada.session_key)
    assert current(store, ada).suspended
    fresh = store.get_or_create_session(ADA)
    assert fresh.session_id != ada.session_id
    assert (fresh.was_auto_reset, fresh.auto_reset_reason) == (True, "suspended")
    assert fresh.reset_had_activity
    assert (fresh.suspended, fresh.total_tokens, fresh.model_override) == (False, 0, None)
    assert (fresh.origin, fresh.display_name) == (ADA, "Ada")


def test_even_a_live_process_does_not_keep_a_suspended_session(
    store: SessionStore, ada: SessionEntry
) -> None:
    store.take_hold(ada.session_key, "cron")
    store.suspend_session(ada.session_key)
    assert store.get_or_create_session(ADA).auto_reset_reason == "suspended"


def test_reset_of_an_untouched_session_says_so(store: SessionStore, ada: SessionEntry) -> None:
    store.suspend_session(ada.session_key)
    assert not store.get_or_create_session(ADA).reset_had_activity


def test_suspending_twice_is_one_change(store: SessionStore, ada: SessionEntry) -> None:
    assert store.suspend_session(ada.session_key)
    assert store.suspend_session(ada.session_key)
    assert current(store, ada).version == 2
    assert not store.suspend_session(NOBODY)


def test_an_interrupted_session_is_gone_on_with(store: SessionStore, ada: SessionEntry) -> None:
    assert store.mark_resume_pending(ada.session_key, "shutdown_timeout")
    marked = current(store, ada)
    assert (marked.resume_pending, marked.resume_reason) == (True, "shutdown_timeout")
    assert marked.last_resume_marked_at is not None
    assert marked.updated_at == ada.updated_at
    assert store.get_or_create_session(ADA).session_id == ada.session_id
    assert current(store, ada).resume_pending
    assert store.clear_resume_pending(ada.session_key)
    cleared = current(store, ada)
    assert (cleared.resume_pending, cleared.resume_reason) == (False, None)
    assert cleared.last_resume_marked_at is None
    assert not store.clear_resume_pending(ada.session_key)


def test_a_mark_never_goes_over_a_suspension(store: SessionStore, ada: SessionEntry) -> None:
    store.suspend_session(ada.session_key)
    assert not store.mark_resume_pending(ada.session_key)
    assert not store.mark_resume_pending(NOBODY)
    assert not store.clear_resume_pending(NOBODY)


def test_reset_binds_a_new_id_and_drops_the_state(store: SessionStore, ada: SessionEntry) -> None:
    store.update_session(ada.session_key, 7, input_tokens=5, estimated_cost_usd=1)
    store.mark_resume_pending(ada.session_key)
    fresh = store.reset_session(ada.session_key)
    assert fresh is not None
    assert fresh.session_id != ada.session_id
    assert fresh.is_fresh_reset
    assert not fresh.was_auto_reset
    assert (fresh.last_prompt_tokens, fresh.total_tokens) == (0, 0)
    assert fresh.estimated_cost_usd == Decimal(0)
    assert not fresh.resume_pending
    assert (fresh.origin, fresh.display_name) == (ADA, "Ada")
    assert store.lookup_by_session_id(ada.session_id) is None
    assert store.lookup_by_session_id(fresh.session_id) == fresh


def test_reset_can_rename(store: SessionStore, ada: SessionEntry) -> None:
    fresh = store.reset_session(ada.session_key, "Countess")
    assert fresh is not None
    assert fresh.display_name == "Countess"
    assert store.reset_session(NOBODY) is None


def test_switch_binds_a_given_id(store: SessionStore, ada: SessionEntry) -> None:
    store.update_session(ada.session_key, input_tokens=5)
    earlier = SessionId("20260101_000000_aaaaaaaa")
    switched = store.switch_session(ada.session_key, earlier)
    assert switched is not None
    assert (switched.session_id, switched.total_tokens) == (earlier, 0)
    assert store.switch_session(ada.session_key, earlier) == switched
    assert store.switch_session(NOBODY, earlier) is None


def test_an_id_can_be_bound_to_several_keys(store: SessionStore, ada: SessionEntry) -> None:
    bob = store.get_or_create_session(SessionSource(platform="slack", chat_id="b"))
    switched = store.switch_session(bob.session_key, ada.session_id)
    assert store.lookup_by_session_id(ada.session_id) == switched
    assert store.delete_session(bob.session_key)
    left = store.lookup_by_session_id(ada.session_id)
    # It was marked as one of several: from then on, its turns exclude those of the others.
    assert left == ada.model_copy(update={"version": ada.version + 1})


def test_a_model_override_is_set_replaced_and_cleared(
    store: SessionStore, ada: SessionEntry
) -> None:
    first = ModelOverride(model="opus", provider="anthropic", base_url="https://api.example/v1")
    assert store.set_model_override(ada.session_key, first)
    assert store.get_model_override(ada.session_key) == first
    assert store.set_model_override(ada.session_key, {"model": "haiku"})
    assert store.get_model_override(ada.session_key) == ModelOverride(model="haiku")
    version = current(store, ada).version
    assert store.set_model_override(ada.session_key, {"model": "haiku"})
    assert current(store, ada).version == version
    assert store.set_model_override(ada.session_key, None)
    assert store.get_model_override(ada.session_key) is None
    assert not store.set_model_override(NOBODY, {"model": "haiku"})


def test_a_deleted_session_is_gone_everywhere(store: SessionStore, ada: SessionEntry) -> None:
    store.take_hold(ada.session_key, "cron")
    assert store.delete_session(ada.session_key)
    assert store.get_session(ada.session_key) is None
    assert store.lookup_by_session_id(ada.session_id) is None
    assert store.list_holds(ada.session_key) == {}
    assert store.count().active == 0
    assert not store.delete_session(ada.session_key)
    assert not store.has_any_sessions()


@pytest.mark.parametrize(
    "write",
    [
        lambda s, k, c: s.update_session(k, **c),
        lambda s, k, c: s.suspend_session(k, **c),
        lambda s, k, c: s.mark_resume_pending(k, **c),
        lambda s, k, c: s.clear_resume_pending(k, **c),
        lambda s, k, c: s.reset_session(k, **c),
        lambda s, k, c: s.switch_session(k, SessionId("other"), **c),
        lambda s, k, c: s.set_model_override(k, {"model": "m"}, **c),
        lambda s, k, c: s.amend_session(k, {"display_name": "n"}, **c),
        lambda s, k, c: s.delete_session(k, **c),
    ],
    ids=["update", "suspend", "mark", "clear", "reset", "switch", "override", "amend", "delete"],
)
def test_a_conditional_write_that_comes_too_late_changes_nothing(
    store: SessionStore, ada: SessionEntry, write: object
) -> None:
    assert callable(write)
    key = ada.session_key
    store.mark_resume_pending(key)
    before = current(store, ada)
    with pytest.raises(StaleWrite, match="session_id"):
        write(store, key, {"if_session_id": SessionId("another")})
    with pytest.raises(StaleWrite, match="version"):
        write(store, key, {"if_version": before.version + 1})
    assert current(store, ada) == before
    assert write(store, key, {"if_session_id": before.session_id, "if_version": before.version})


def test_every_change_adds_one_to_the_version(store: SessionStore, ada: SessionEntry) -> None:
    key = ada.session_key
    store.update_session(key)
    store.mark_resume_pending(key)
    store.clear_resume_pending(key)
    store.set_model_override(key, {"model": "m"})
    store.reset_session(key)
    store.switch_session(key, SessionId("another"))
    store.suspend_session(key)
    assert current(store, ada).version == 8
