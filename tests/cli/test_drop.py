"""Dropping a store on the command line: asked for by name, and refused where it is used."""

from __future__ import annotations

import pytest
import redis

from redisstore import SessionStore
from tests.cli.material import KEY, Run, document, source
from tests.turns import begun


def keys(client: redis.Redis) -> set[bytes]:
    return set(client.scan_iter("*"))


def test_a_store_goes_when_its_name_is_typed(
    store: SessionStore, client: redis.Redis, run: Run
) -> None:
    store.get_or_create_session(source("42"))
    with SessionStore(client, namespace="redisstore-2") as other:
        other.get_or_create_session(source("42"))
        beside = {key for key in keys(client) if b"redisstore-2" in key}
        result = run("drop", answers="redisstore\n")
    assert result.exit_code == 0
    assert "1 sessions" in result.stdout
    assert "Type redisstore" in result.stderr
    assert keys(client) == beside


@pytest.mark.parametrize("answer", ["yes\n", "Redisstore\n", "y\n", ""])
def test_nothing_goes_by_another_word(
    store: SessionStore, client: redis.Redis, run: Run, answer: str
) -> None:
    store.get_or_create_session(source("42"))
    before = keys(client)
    result = run("drop", "--force", answers=answer)
    assert result.exit_code == 1
    assert "nothing was done" in result.stderr
    assert keys(client) == before


def test_a_script_says_yes_beforehand(store: SessionStore, client: redis.Redis, run: Run) -> None:
    store.get_or_create_session(source("42"))
    there = len(keys(client))
    found = document(run("drop", "--yes", "--json"))
    assert found == {"namespace": "redisstore", "removed": there}
    again = run("drop", "--yes", "--json")
    assert (again.exit_code, document(again)["removed"]) == (1, 0)


def test_a_store_that_is_not_there_is_refused(
    store: SessionStore, client: redis.Redis, run: Run
) -> None:
    store.get_or_create_session(source("42"))
    before = keys(client)
    result = run("drop", "--yes", "--namespace", "redistore")
    assert result.exit_code == 1
    assert "no store in namespace redistore" in result.stderr
    assert keys(client) == before


def test_a_store_in_use_stays_unless_it_is_forced(
    store: SessionStore, client: redis.Redis, run: Run
) -> None:
    begun(store, "42")
    result = run("drop", "--yes")
    assert result.exit_code == 1
    assert KEY in result.stderr
    assert store.count_sessions() == 1
    assert run("drop", "--yes", "--force").exit_code == 0
    assert keys(client) == set()


def test_a_damaged_store_can_be_dropped(store: SessionStore, client: redis.Redis, run: Run) -> None:
    store.get_or_create_session(source("42"))
    client.delete("{redisstore}:updated_at")
    client.set("{redisstore}:updated_at", "oops")
    assert run("drop", "--yes").exit_code == 0
    assert keys(client) == set()
