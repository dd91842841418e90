"""Errors can be copied and pickled: they cross processes, and logs and test runners keep them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from redisstore import errors
from redisstore.errors import (
    CorruptEntry,
    DuplicateMessage,
    InvalidInput,
    RedisStoreError,
    StoreClosed,
    TurnBusy,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ROUND_TRIPS: list[Callable[[RedisStoreError], RedisStoreError]] = [
    copy.copy,
    copy.deepcopy,
    lambda error: pickle.loads(pickle.dumps(error)),  # noqa: S301 - our own
]


def an_error(kind: type[RedisStoreError]) -> RedisStoreError:
    if issubclass(kind, CorruptEntry):
        return kind("{redisstore}:entry:k", "it is not a hash")
    if issubclass(kind, InvalidInput):
        return kind("limit", "must be a whole number")
    if issubclass(kind, DuplicateMessage):
        return kind("m-1", "running", NOW, "gateway-1")
    if issubclass(kind, TurnBusy):
        return kind("agent:main:telegram:dm:42", "gateway-1", NOW, queue_full=True)
    return kind() if issubclass(kind, StoreClosed) else kind("why")


KINDS = [kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("there_and_back", ROUND_TRIPS, ids=["copy", "deepcopy", "pickle"])
def test_an_error_survives_being_copied_and_pickled(
    kind: type[RedisStoreError],
    there_and_back: Callable[[RedisStoreError], RedisStoreError],
) -> None:
    error = an_error(kind)
    back = there_and_back(error)
    assert type(back) is kind
    assert (str(back), back.args, vars(back)) == (str(error), error.args, vars(error))


def test_all_that_is_raised_is_of_the_root() -> None:
    assert all(issubclass(kind, RedisStoreError) for kind in KINDS)
    assert str(StoreClosed()) == "the store was closed"
