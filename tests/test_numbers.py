"""Any number that a caller gives is taken, or refused by its name: no other error comes through."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from redisstore import (
    InvalidInput,
    SessionStore,
    StaleWrite,
    StoreConfig,
)
from redisstore.errors import short_repr
from tests.conftest import FACES
from tests.entries import key, source
from tests.faces import open_face

ADA = key("ada")

TAKERS: dict[str, Callable[[Any, Any], object]] = {
    "active_minutes": lambda s, n: list(s.list_sessions(n)),
    "limit": lambda s, n: list(s.list_sessions(limit=n)),
    "max_age_days": lambda s, n: s.prune_old_entries(n, dry_run=True),
    "max_age_seconds": lambda s, n: s.suspend_recently_active(n),
    "wait": lambda s, n: s.turn(source("ada"), wait=n),
    "idle_timeout": lambda s, n: s.events(idle_timeout=n),
    "claim_after": lambda s, n: s.events(group="g", claim_after=n),
    "grace": lambda s, n: s.drain(n),
    "ttl": lambda s, n: s.take_hold(ADA, "cron", ttl=n),
    "last_prompt_tokens": lambda s, n: s.update_session(ADA, n),
    "input_tokens": lambda s, n: s.update_session(ADA, input_tokens=n),
    "total_tokens": lambda s, n: s.update_session(ADA, total_tokens=n),
    "estimated_cost_usd": lambda s, n: s.update_session(ADA, estimated_cost_usd=n),
    "if_version": lambda s, n: s.update_session(ADA, if_version=n),
    "if_version of a suspension": lambda s, n: s.suspend_session(ADA, if_version=n),
    "output_tokens": lambda s, n: s.amend_session(ADA, {"output_tokens": n}),
    "estimated_cost_usd amended": lambda s, n: s.amend_session(ADA, {"estimated_cost_usd": n}),
}
"""Each public argument that is a number; the name that a refusal begins with is its first word."""

SETTINGS = sorted(
    name
    for name, field in StoreConfig.model_fields.items()
    if field.annotation in {int, float, int | None} and name != "session_store_max_age_days"
)

plain_numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.integers(1, 6000).map(lambda digits: 10**digits),
    st.integers(1, 6000).map(lambda digits: -(10**digits)),
    st.sampled_from([True, None, "90", "9" * 5000]),
)
numbers = plain_numbers | st.decimals() | st.integers(1, 400).map(lambda n: Decimal(f"1e{n}"))


@pytest.fixture(scope="module", params=FACES)
def store(request: pytest.FixtureRequest) -> Iterator[SessionStore]:
    config = StoreConfig(url="memory:", namespace="numbers", replica="tester")
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        store = open_face(request.param, config, loop)
        store.get_or_create_session(source("ada"))
        yield store
        store.close()


def refusal_of(call: Callable[[], object]) -> InvalidInput | None:
    """What a call refuses its number by, where it does; any other error comes through."""
    try:
        call()
    except InvalidInput as refusal:
        return refusal
    except StaleWrite:  # of a version that the session does not have
        return None
    return None


@pytest.mark.parametrize("taker", TAKERS)
@given(number=numbers)
@example(10**400)
@example(10**5000)
@example(-(10**5000))
@example(Decimal("1e999000"))
@settings(deadline=None)
def test_a_number_is_taken_or_refused_by_name(
    store: SessionStore, taker: str, number: object
) -> None:
    refusal = refusal_of(lambda: TAKERS[taker](store, number))
    assert refusal is None or refusal.field == taker.partition(" ")[0]
    assert len(str(refusal)) < 300


@pytest.mark.parametrize("name", SETTINGS)
@given(number=plain_numbers)
@example(10**400)
@example(10**5000)
@settings(deadline=None)
def test_a_setting_is_taken_or_refused(name: str, number: object) -> None:
    with contextlib.suppress(ValidationError):
        StoreConfig.model_validate({name: number})


@given(number=plain_numbers)
@example(10**400)
@example(10**5000)
@settings(deadline=None)
def test_any_age_in_days_can_be_configured(number: object) -> None:
    """What is no number of days stands for the default, as the reference gateway has it."""
    config = StoreConfig.model_validate({"url": "memory:", "session_store_max_age_days": number})
    assert repr(config)
    with SessionStore.from_url(config=config) as store:
        assert store.prune_old_entries().removed == 0


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_partition_count_out_of_all_bounds_is_refused(digits: int) -> None:
    partitions = 10**digits
    with pytest.raises(InvalidInput, match="partitions"):
        SessionStore.from_url("memory:", partitions=partitions)


def test_a_message_shows_what_it_can_of_a_value() -> None:
    assert short_repr("a") == "'a'"
    assert short_repr(10**59) == str(10**59)
    assert short_repr([10**5000]) == "a value of type list, too long to be written out"
