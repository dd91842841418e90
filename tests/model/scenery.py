"""What the machine plays with: lanes under different policies, starting times, drawn values.

The lanes are few, so that operations meet; each falls under another policy. The times begin beside
what is special about the calendar of Europe/Berlin in 2026: clocks go forward on 29 March, when
the hour from 2 to 3 is missing, and back on 25 October, when it comes twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from redisstore import (
    ModelOverride,
    SessionEntry,
    SessionId,
    SessionKey,
    SessionResetPolicy,
    SessionSource,
    StoreConfig,
    build_session_key,
)

from .reference import FURTHEST_IMPORT
from .reference_lanes import LARGEST_COUNTER

REPLICAS = ("gateway-1", "gateway-2")

NEVER_RESET = SessionSource(platform="matrix", chat_type="group", chat_id="!}:{r}\n*", user_id="ü")
BY_DEFAULT = SessionSource(platform="telegram", chat_id="42", user_id="7", chat_name="Ana")
IDLE = SessionSource(platform="discord", chat_type="group", chat_id="1", user_id="7", is_bot=True)
DAILY = SessionSource(platform="slack", chat_id="D0", thread_id="1.5", message_id="m1")
IDLE_AND_DAILY = SessionSource(platform="whatsapp", chat_type="group", chat_id="g", user_id="8")
SOURCES = (NEVER_RESET, BY_DEFAULT, IDLE, DAILY, IDLE_AND_DAILY)
LANES = tuple(build_session_key(source) for source in SOURCES)
UNKNOWN_LANE = SessionKey("agent:main:telegram:dm:nobody")


def config(url: str, namespace: str, partitions: int, replica: str) -> StoreConfig:
    """Return the settings under which each lane has a policy of its own."""
    return StoreConfig(
        url=url,
        namespace=namespace,
        partitions=partitions,
        replica=replica,
        timezone="Europe/Berlin",
        default_reset_policy=SessionResetPolicy(mode="idle", idle_minutes=1440),
        reset_by_platform={
            "matrix": SessionResetPolicy(mode="none"),
            "discord": SessionResetPolicy(mode="idle", idle_minutes=30),
            "slack": SessionResetPolicy(mode="daily", at_hour=4),
        },
        reset_by_type={"group": SessionResetPolicy(mode="both", at_hour=2, idle_minutes=600)},
        # Small, so that a handful of sessions takes several pages and batches.
        list_page_size=2,
        prune_batch_size=2,
    )


STARTS = st.sampled_from(
    [
        datetime(2026, 3, 28, 23, 30, tzinfo=UTC),
        datetime(2026, 10, 24, 23, 30, tzinfo=UTC),
        datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    ]
)
SKEWS = st.sampled_from([timedelta(0), timedelta(hours=1), timedelta(hours=-1)])
"""How far the clock of a replica is off."""

LANE = st.sampled_from([*LANES, *LANES, *LANES, UNKNOWN_LANE])
SOURCE = st.sampled_from(SOURCES)
REPLICA = st.integers(0, len(REPLICAS) - 1)
PROCESS = st.sampled_from(["p1", "p2", "p 3\n}:"])
NAMES = st.sampled_from(["Ana", "", "Büro ☂", "}:{x}"])
REASONS = st.sampled_from(["restart_timeout", "a reason with\nlines"])

FORWARD = st.sampled_from(
    [
        timedelta(milliseconds=1),
        timedelta(seconds=90),
        timedelta(minutes=10),
        timedelta(minutes=29),
        timedelta(minutes=61),
        timedelta(hours=5),
        timedelta(hours=13),
        timedelta(days=1),
        timedelta(days=40),
    ]
)
BACK = st.sampled_from([timedelta(milliseconds=1), timedelta(minutes=2), timedelta(minutes=25)])
FURTHEST_BACK = timedelta(minutes=45)
"""How far behind its latest time the server's clock may stand."""
LONGEST_HOLD = timedelta(minutes=10)
"""Together with `FURTHEST_BACK` less than the hour beyond which a hold is taken for an error."""
TTL = st.sampled_from([timedelta(seconds=1), timedelta(seconds=120), LONGEST_HOLD])

COUNTS_ADDED = st.sampled_from([0, 1, 250, 250, LARGEST_COUNTER - 100])
INCREMENTS = st.dictionaries(
    st.sampled_from(["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"]),
    COUNTS_ADDED,
    max_size=3,
)
COSTS = st.sampled_from([Decimal(0), Decimal("0.1"), Decimal("0.2"), Decimal("12.000000001")])
OVERRIDES = st.sampled_from(
    [
        None,
        ModelOverride(model="m-1", provider="p"),
        ModelOverride(base_url="https://models.example/v1?region=eu"),
    ]
)
AMENDMENTS = st.fixed_dictionaries(
    {},
    optional={
        "display_name": st.none() | NAMES.filter(bool),
        "total_tokens": st.sampled_from([0, 7]),
        "estimated_cost_usd": COSTS,
        "was_auto_reset": st.booleans(),
        "expiry_finalized": st.booleans(),
        "resume_pending": st.booleans(),
        "last_resume_marked_at": st.sampled_from([None, datetime(2026, 3, 1, tzinfo=UTC)]),
        "model_override": OVERRIDES,
    },
)
ROW_AGES = st.sampled_from(
    [
        -FURTHEST_IMPORT - timedelta(milliseconds=1),
        timedelta(hours=-20),
        timedelta(milliseconds=-1),
        timedelta(0),
        timedelta(minutes=30),
        timedelta(hours=12),
        timedelta(days=60),
        timedelta(days=120),
    ]
)
"""How long ago an imported entry was active; negative: ahead of the server's clock."""


@st.composite
def rows(draw: st.DrawFn, now: datetime) -> SessionEntry:
    """Draw an entry for an import, in one of the lanes."""
    at = draw(st.integers(0, len(SOURCES) - 1))
    source, updated_at = SOURCES[at], now - draw(ROW_AGES)
    pending = draw(st.booleans())
    marked_at = draw(st.sampled_from([None, updated_at - timedelta(seconds=1)]))
    tokens = draw(COUNTS_ADDED)
    return SessionEntry(
        session_key=LANES[at],
        session_id=SessionId(draw(st.sampled_from(["old-1", "old 2", "old-1x"]))),
        created_at=updated_at - timedelta(days=1),
        updated_at=updated_at,
        version=draw(st.integers(1, 9)),
        origin=draw(st.sampled_from([source, source, None])),
        display_name=draw(st.none() | NAMES),
        platform=draw(st.sampled_from([source.platform, source.platform, None, "slack"])),
        chat_type=source.chat_type,
        input_tokens=tokens,
        total_tokens=tokens,
        estimated_cost_usd=draw(COSTS),
        suspended=draw(st.sampled_from([False, False, True])),
        resume_pending=pending,
        resume_reason="restart_timeout" if pending else None,
        last_resume_marked_at=marked_at if pending else None,
        expiry_finalized=draw(st.booleans()),
        model_override=draw(OVERRIDES),
        replica=draw(st.sampled_from([None, *REPLICAS])),
    )
