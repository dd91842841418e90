"""Going on under another session id: who is to have its lock, and how long that is tried."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from redisstore import SessionId, StoreConfig, StoreUnavailable
from redisstore.calls.amendments import amend
from redisstore.calls.call import Call, Conditions, Context, Lease, Steps
from redisstore.calls.turn_replies import LockLapsed
from redisstore.keys import KeySpace
from tests.entries import key

ADA, BOB = key("ada"), key("bob")
OTHER = SessionId("20260101_000000_other")


def answer(call: Call[Any]) -> Any:
    """A server on which a turn runs, and whoever has the other id lapses as soon as it has it."""
    match call.script:
        case "amend_session":
            return Lease(ADA, "one/a/1", 7, OTHER)
        case "lock_session_id":
            return LockLapsed("two/b/2", BOB)
        case "recover_turns":
            return SimpleNamespace(lost=(), lapsed_locks=())
        case other:
            raise AssertionError(other)


def asked_until_it_ends(steps: Steps[Any]) -> Iterator[str]:
    """The scripts that an operation asks for, one by one, each answered at once."""
    step: Any = next(steps)
    while True:
        yield from (call.script for call in step.calls)
        step = steps.send([answer(call) for call in step.calls])


def test_a_lock_that_lapses_again_and_again_is_tried_for_until_the_deadline() -> None:
    context = Context(KeySpace("r"), StoreConfig(deadline=5, replica="tester"))
    clock = itertools.count().__next__
    asked: list[str] = []
    steps = amend(context, ADA, {"session_id": OTHER}, Conditions(), clock)
    bounded = itertools.islice(asked_until_it_ends(steps), 100)
    with pytest.raises(
        StoreUnavailable, match="20260101_000000_other was not to be had within 5 s"
    ):
        asked.extend(bounded)
    assert 2 <= asked.count("lock_session_id") <= 5
