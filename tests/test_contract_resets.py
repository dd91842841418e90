"""When get_or_create_session starts a session anew, in the order in which it decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from redisstore import SessionResetPolicy, SessionStore
from tests.conftest import OpenStore
from tests.entries import DAY, NOW, aged, key, put, source

IDLE = SessionResetPolicy(mode="idle", idle_minutes=60)
FAR_HOUR = (NOW.hour + 12) % 24
"""No daily reset comes between the making of an entry and its test."""
DAILY = SessionResetPolicy(mode="daily", at_hour=FAR_HOUR)
BOTH = SessionResetPolicy(mode="both", at_hour=FAR_HOUR, idle_minutes=60)
HOUR = timedelta(hours=1)
LONG_AGO = 3 * DAY


@pytest.mark.parametrize(
    ("policy", "age", "reason"),
    [
        (SessionResetPolicy(), LONG_AGO, None),
        (IDLE, 2 * HOUR, "idle"),
        (IDLE, HOUR / 2, None),
        (DAILY, LONG_AGO, "daily"),
        (DAILY, timedelta(0), None),
        (BOTH, LONG_AGO, "idle"),
        (
            SessionResetPolicy(mode="both", at_hour=FAR_HOUR, idle_minutes=100_000),
            LONG_AGO,
            "daily",
        ),
    ],
    ids=["none", "idle", "idle fresh", "daily", "daily fresh", "both idle first", "both daily"],
)
def test_the_policy_decides(
    open_store: OpenStore, policy: SessionResetPolicy, age: timedelta, reason: str | None
) -> None:
    store = open_store(default_reset_policy=policy)
    old = aged("ada", age)
    put(store, [old])
    entry = store.get_or_create_session(source("ada"))
    assert entry.auto_reset_reason == reason
    assert entry.was_auto_reset == (reason is not None)
    assert (entry.session_id == old.session_id) == (reason is None)


def test_platform_goes_before_chat_type_and_that_before_the_default(open_store: OpenStore) -> None:
    never = SessionResetPolicy()
    store = open_store(
        default_reset_policy=IDLE, reset_by_type={"dm": never}, reset_by_platform={"slack": DAILY}
    )
    put(store, [aged("ada", LONG_AGO), aged("bob", LONG_AGO, platform="slack")])
    assert store.get_or_create_session(source("ada")).auto_reset_reason is None
    assert store.get_or_create_session(source("bob", "slack")).auto_reset_reason == "daily"


def test_the_daily_hour_is_that_of_the_configured_zone(open_store: OpenStore) -> None:
    # Two zones, half a day apart: in exactly one of them a reset lies between then and now.
    then = NOW - timedelta(minutes=30)
    for zone in ("Pacific/Auckland", "America/Los_Angeles"):
        hour = (then.astimezone(ZoneInfo(zone)) + timedelta(minutes=30)).hour
        store = open_store(
            timezone=zone, default_reset_policy=SessionResetPolicy(mode="daily", at_hour=hour)
        )
        boundary = NOW.astimezone(ZoneInfo(zone)).replace(hour=hour, minute=0, second=0)
        name = zone.partition("/")[2]
        put(store, [aged(name, NOW - boundary + timedelta(minutes=1))])
        assert store.get_or_create_session(source(name)).auto_reset_reason == "daily"


@pytest.mark.parametrize("policy", [IDLE, DAILY, BOTH], ids=lambda policy: policy.mode)
def test_a_live_process_keeps_its_session(
    open_store: OpenStore, policy: SessionResetPolicy
) -> None:
    store = open_store(default_reset_policy=policy)
    old = aged("ada", LONG_AGO)
    put(store, [old])
    store.take_hold(old.session_key, "cron")
    assert store.get_or_create_session(source("ada")).session_id == old.session_id


def test_an_interrupted_session_follows_the_policy_first(open_store: OpenStore) -> None:
    store = open_store(default_reset_policy=IDLE)
    put(store, [aged("ada", LONG_AGO, resume_pending=True, last_resume_marked_at=NOW)])
    assert store.get_or_create_session(source("ada")).auto_reset_reason == "idle"


def interrupted(store: SessionStore, marked_ago: timedelta) -> str | None:
    put(
        store,
        [
            aged(
                "ada",
                HOUR / 4,
                resume_pending=True,
                resume_reason="restart",
                last_resume_marked_at=NOW - marked_ago,
            )
        ],
    )
    return store.get_or_create_session(source("ada")).auto_reset_reason


def test_a_stale_mark_starts_anew(open_store: OpenStore) -> None:
    store = open_store(default_reset_policy=SessionResetPolicy(mode="idle"))
    assert interrupted(store, 2 * HOUR) == "resume_pending_expired"


@pytest.mark.parametrize(
    "settings",
    [
        {"default_reset_policy": SessionResetPolicy()},
        {"default_reset_policy": IDLE, "resume_freshness_window": 0},
        {"default_reset_policy": IDLE, "resume_freshness_window": 3 * 3600},
    ],
    ids=["mode none", "window off", "window longer"],
)
def test_a_mark_that_is_not_stale_goes_on(
    open_store: OpenStore, settings: dict[str, object]
) -> None:
    store = open_store(**settings)
    assert interrupted(store, 2 * HOUR) is None


def test_what_a_reset_leaves_behind_is_kept_until_a_turn_consumed_it(
    open_store: OpenStore,
) -> None:
    store = open_store(default_reset_policy=IDLE)
    put(store, [aged("ada", LONG_AGO, last_prompt_tokens=3)])
    store.get_or_create_session(source("ada"))
    again = store.get_or_create_session(source("ada"))
    assert (again.was_auto_reset, again.auto_reset_reason) == (True, "idle")
    assert again.reset_had_activity


def test_the_expiry_index_follows_activity_and_policy(open_store: OpenStore) -> None:
    store = open_store(default_reset_policy=IDLE)
    put(store, [aged("ada", LONG_AGO), aged("bob", timedelta(0))])
    counts = store.count()
    assert (counts.expiring, counts.expired) == (2, 1)
    store.update_session(key("ada"))
    assert store.count().expired == 0
    untroubled = open_store(default_reset_policy=SessionResetPolicy())
    untroubled.update_session(key("ada"))
    assert store.count().expiring == 1


def test_last_activity_never_goes_back(store: SessionStore) -> None:
    ahead = aged("ada", -timedelta(hours=12))
    put(store, [ahead])
    assert store.get_or_create_session(source("ada")).updated_at == ahead.updated_at
    reset = store.reset_session(ahead.session_key)
    assert reset is not None
    assert reset.updated_at == ahead.updated_at
    assert reset.created_at < datetime.now(UTC) + HOUR
