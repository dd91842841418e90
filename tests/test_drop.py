"""A whole store is dropped: every key of its namespace, on all masters, and no other."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest

from redisstore import CorruptEntry, SessionId, SessionStore, StoreConfig, StoreInUse, TurnLost
from redisstore.keys import KeySpace
from tests.commands import ROOT
from tests.conftest import OpenStore, Site
from tests.entries import key, source
from tests.servers import wait_until
from tests.turns import begun, direct_client

KILLED = """
import os, signal, sys
from redisstore import SessionStore
with SessionStore.from_url(sys.argv[1], namespace=sys.argv[2]) as store:
    enough = int(sys.argv[3])
    store.drop(on_removed=lambda gone: gone < enough or os.kill(os.getpid(), signal.SIGKILL))
"""


def furnish(store: SessionStore, sessions: int = 3) -> None:
    """Leave keys of every kind."""
    for number in range(sessions):
        store.get_or_create_session(source(str(number)))
    with store.turn(source("0"), "m-1") as turn:
        turn.end(output_tokens=1)
    store.take_hold(key("0"), "cron")
    for number in (0, 1):
        store.switch_session(key(str(number)), SessionId("shared"))
    list(store.events(group="agents", since="oldest", idle_timeout=0))
    store.suspend_session(key("2"))


def neighbours(namespace: str) -> list[str]:
    """Names that begin with the first one's, or that it begins with; no other test has them."""
    return [namespace + "x", namespace + "-2", namespace[:-1] + "_", namespace[:-1]]


@pytest.fixture
def look(site: Site) -> Iterator[SessionStore]:
    with SessionStore.from_url(site.url) as store:
        yield store


def stored(look: SessionStore, namespace: str) -> set[bytes]:
    """The keys of a namespace, but for results of calls, which go by themselves."""
    found = {
        found
        for pattern in (f"{{{namespace}}}*", f"{{{namespace}.*")
        for found in look._runner.scan(pattern)
    }
    return {one for one in found if b"}:op:" not in one}


def test_every_key_of_the_store_goes_and_no_other(
    store: SessionStore, site: Site, namespace: str, look: SessionStore
) -> None:
    furnish(store)
    others = neighbours(namespace)
    for name in others:
        config = StoreConfig(url=site.url, namespace=name, partitions=site.partitions)
        with SessionStore.from_url(config=config) as other:
            furnish(other)
    before = {name: stored(look, name) for name in others}
    there = stored(look, namespace)
    told: list[int] = []
    removed = store.drop(on_removed=told.append)
    assert removed >= len(there) > 10
    assert told == sorted(told)
    assert told[-1] == removed
    assert stored(look, namespace) == set()
    assert {name: stored(look, name) for name in others} == before
    for name in others:
        with SessionStore.from_url(site.url, namespace=name) as other:
            assert list(other.audit()) == []
            assert other.drop() > 0
        assert stored(look, name) == set()


@pytest.mark.parametrize("sessions", [3, 60])
def test_each_round_is_told_of_and_so_is_the_end(store: SessionStore, sessions: int) -> None:
    furnish(store, sessions)
    told: list[int] = []
    removed = store.drop(on_removed=told.append)
    assert told[-1] == removed
    rounds = [gone - before for before, gone in pairwise([0, *told])]
    assert max(rounds) <= 100
    assert len(told) >= removed / 100


def test_what_is_not_there_is_dropped_without_a_trace(
    store: SessionStore, namespace: str, look: SessionStore
) -> None:
    assert store.drop() == 0
    store.get_or_create_session(source("ada"))
    assert store.drop() > 0
    assert store.drop() == 0
    assert stored(look, namespace) == set()


def test_the_same_store_can_begin_anew(store: SessionStore) -> None:
    furnish(store)
    store.drop()
    assert store.get_or_create_session(source("ada")).version == 1
    assert store.count_sessions() == 1


def test_it_is_refused_while_a_turn_runs_unless_forced(
    store: SessionStore, namespace: str, look: SessionStore
) -> None:
    turn = begun(store, "ada", "m-1")
    before = stored(look, namespace)
    with pytest.raises(StoreInUse, match=key("ada")):
        store.drop()
    assert stored(look, namespace) == before
    assert store.drop(force=True) > 0
    with pytest.raises(TurnLost):
        turn.end()
    assert stored(look, namespace) == set()


def test_it_is_refused_while_a_replica_is_alive(open_store: OpenStore) -> None:
    store = open_store()
    config = store.config.model_copy(update={"replica": "gateway-1"})
    with SessionStore.from_url(config=config) as gateway:
        gateway.get_or_create_session(source("ada"))
        with gateway.maintenance():
            wait_until(lambda: [one.alive for one in gateway.list_replicas()] == [True])
            with pytest.raises(StoreInUse, match="gateway-1"):
                store.drop()
            assert store.count_sessions() == 1
        assert store.drop() > 0


@pytest.mark.damages
def test_whether_it_is_used_must_be_known(store: SessionStore, site: Site, namespace: str) -> None:
    store.get_or_create_session(source("ada"))
    with direct_client(site) as client:
        client.set(KeySpace(namespace, site.partitions).replicas, "oops")
    with pytest.raises(CorruptEntry):
        store.drop()
    assert store.count_sessions() == 1
    assert store.drop(force=True) > 0


@pytest.mark.parametrize(
    "site", ["valkey-9.1", "redis-7.0", "valkey-9.1/4", "cluster"], indirect=True
)
def test_a_kill_in_the_middle_leaves_what_can_be_dropped_again(
    site: Site, namespace: str, look: SessionStore
) -> None:
    config = StoreConfig(url=site.url, namespace=namespace, partitions=site.partitions)
    neighbour = namespace + "x"
    with (
        SessionStore.from_url(config=config) as store,
        SessionStore.from_url(site.url, namespace=neighbour) as other,
    ):
        furnish(store, 400)
        furnish(other)
        before, beside = stored(look, namespace), stored(look, neighbour)
        command = [sys.executable, "-c", KILLED, site.url, namespace, str(len(before) * 4 // 5)]
        ended = subprocess.run(command, cwd=ROOT, check=False)
        assert ended.returncode == -signal.SIGKILL
        left = stored(look, namespace)
        assert 0 < len(left) < len(before)
        assert f"{{{namespace}}}:meta".encode() in left
        assert store.drop() >= len(left)
        assert stored(look, namespace) == set()
        assert stored(look, neighbour) == beside
        other.drop()
