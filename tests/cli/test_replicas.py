"""Replicas on the command line, and what the doctor says of dead ones."""

from __future__ import annotations

import os

import pytest
import redis

from redisstore import SessionStore
from redisstore.doctor import examine
from tests.cli.material import KEY, STRANGE, Run, lines, source
from tests.servers import wait_until


def test_replicas_are_listed_with_what_each_is_at(store: SessionStore, run: Run) -> None:
    with store.turn(source("42")), store.maintenance():
        wait_until(lambda: list(store.list_replicas()))
        (found,) = lines(run("replicas", "--json"))
        assert found["name"] == store.config.replica
        assert (found["alive"], found["state"], found["turns"]) == (True, "up", 1)
        assert found["pid"] == os.getpid()
        listed = run("replicas").stdout
        assert store.config.replica in listed
        assert str(os.getpid()) in listed


def test_no_replicas_are_said_to_be_none(run: Run) -> None:
    result = run("replicas")
    assert result.exit_code == 0
    assert "no replicas" in result.stdout
    assert run("replicas", "--json").stdout == ""


def test_a_dead_replica_is_shown_as_dead_and_the_doctor_names_it(
    store: SessionStore, client: redis.Redis, run: Run
) -> None:
    store.get_or_create_session(source("42"))
    client.zadd("{redisstore}:replicas", {STRANGE: 1_700_000_000_000})
    client.hset("{redisstore}:replica:" + STRANGE, "beat_at", "1700000000000")
    (found,) = lines(run("replicas", "--json"))
    assert (found["name"], found["alive"]) == (STRANGE, False)
    assert "\x1b[31m" not in run("replicas").stdout
    warned = [one for one in examine(store) if one.check == "replicas"]
    assert [one.severity for one in warned] == ["warning"]
    assert "is dead, its last heartbeat was at 2023-11-14 22:13:20 UTC" in warned[0].message
    assert run("doctor").exit_code == 0


@pytest.mark.parametrize("key", ["replicas", "replica:one"])
def test_damaged_replicas_are_a_fault_and_stop_nothing(
    store: SessionStore, client: redis.Redis, run: Run, key: str
) -> None:
    store.get_or_create_session(source("42"))
    client.zadd("{redisstore}:replicas", {"one": 1})
    client.delete("{redisstore}:" + key)
    client.set("{redisstore}:" + key, "x")
    found = list(examine(store))
    assert any(one.check == "replicas" and one.severity == "fault" for one in found)
    assert found[-1].check == "invariants"
    assert run("doctor").exit_code == 1
    assert store.get_session(KEY) is not None
