"""What a gateway starts with one line, in threads and in tasks."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from redisstore import (
    AsyncSessionStore,
    ExpiredSession,
    Replica,
    SessionResetPolicy,
    SessionStore,
    StoreConfig,
)
from redisstore.keys import Partition
from tests.conftest import Sites
from tests.entries import DAY, aged, key, put, source
from tests.gateways import GATEWAYS, Gateway
from tests.servers import Server, require, wait_until
from tests.turns import begun

NAMES = [f"lane {number}" for number in range(12)]
IDLE = SessionResetPolicy(mode="idle", idle_minutes=60)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "valkey-9.1/4", "cluster"])
def config(request: pytest.FixtureRequest, sites: Sites, namespace: str) -> StoreConfig:
    site = sites.get(request.param)
    return StoreConfig(
        url=site.url,
        namespace=namespace,
        partitions=site.partitions,
        replica="watcher",
        default_reset_policy=IDLE,
        heartbeat_ttl=1,
        finalize_claim_ttl=1,
        turn_lease_ttl=1,
    )


@pytest.fixture(params=GATEWAYS)
def make(request: pytest.FixtureRequest) -> type[Gateway]:
    return GATEWAYS[request.param]


@pytest.fixture
def store(config: StoreConfig) -> Iterator[SessionStore]:
    """One that looks on, without maintenance of its own."""
    with SessionStore.from_url(config=config) as store:
        yield store
        assert list(store.audit()) == []


def named(config: StoreConfig, replica: str) -> StoreConfig:
    return config.model_copy(update={"replica": replica})


def listed(store: SessionStore) -> dict[str, Replica]:
    return {found.name: found for found in store.list_replicas()}


def closed(store: SessionStore) -> int:
    return sum(entry.expiry_finalized for entry in store.list_sessions())


def expired(store: SessionStore) -> None:
    put(store, (aged(name, 2 * HOUR) for name in NAMES))


def home_of(store: SessionStore, name: str) -> Partition:
    return store._space().partition_of(key(name))


def raw(store: SessionStore, name: str) -> Mapping[bytes, bytes]:
    client: Any = store._runner.connection.client
    entry: Mapping[bytes, bytes] = client.hgetall(home_of(store, name).entry(key(name)))
    return entry


def look_again_at(store: SessionStore, name: str) -> float:
    client: Any = store._runner.connection.client
    score: float = client.zscore(home_of(store, name).expiry, key(name))
    return score


def test_a_replica_is_listed_from_start_to_stop(
    config: StoreConfig, store: SessionStore, make: type[Gateway]
) -> None:
    with make(named(config, "one")), make(named(config, "two")) as two:
        wait_until(lambda: set(listed(store)) == {"one", "two"})
        first = listed(store)["one"].beat_at
        wait_until(lambda: listed(store)["one"].beat_at != first)
        two.drain()
        wait_until(lambda: listed(store)["two"].state == "draining")
        assert listed(store)["one"].state == "up"
        two.stop()
        assert set(listed(store)) == {"one"}
    assert listed(store) == {}


def test_what_was_not_started_can_be_stopped(config: StoreConfig) -> None:
    with SessionStore.from_url(config=config) as store:
        store.maintenance().stop()

    async def stop() -> None:
        async with AsyncSessionStore.from_url(config=config) as store:
            await store.maintenance().stop()

    asyncio.run(stop())


def test_maintenance_is_started_once(config: StoreConfig, store: SessionStore) -> None:
    with SessionStore.from_url(config=named(config, "one")) as one:
        maintenance, never = one.maintenance(), one.maintenance()
        maintenance.start()
        running = set(threading.enumerate())
        with pytest.raises(RuntimeError, match="started once: make another"):
            maintenance.start()
        assert set(threading.enumerate()) <= running
        for stopped in (maintenance, never):
            stopped.stop()
            with pytest.raises(RuntimeError, match="started once: make another"):
                stopped.start()
        assert listed(store) == {}


def test_what_is_old_is_pruned_and_lost_turns_are_found(
    config: StoreConfig, store: SessionStore, make: type[Gateway]
) -> None:
    put(store, [aged("old", 1000 * DAY)])
    with SessionStore.from_url(config=named(config, "dying")) as dying:
        begun(dying)
    with make(named(config, "one")):
        wait_until(lambda: store.get_session(key("old")) is None)
        wait_until(lambda: not list(store.list_turns()))
        entry = store.get_session(key("ada"))
        assert entry is not None
        assert (entry.resume_pending, entry.resume_reason) == (True, "replica_lost")
        assert entry.interruptions == 1


def test_expired_sessions_are_handed_to_the_callback_and_marked(
    config: StoreConfig, store: SessionStore, make: type[Gateway]
) -> None:
    expired(store)
    told: list[ExpiredSession] = []
    with make(named(config, "one"), told.append), make(named(config, "two"), told.append):
        wait_until(lambda: closed(store) == len(NAMES))
    assert Counter(one.entry.session_key for one in told) == Counter(map(key, NAMES))
    assert {one.attempt for one in told} == {1}
    assert store.count().expiring == 0


def test_without_a_callback_expired_sessions_are_left_to_others(
    config: StoreConfig, store: SessionStore, make: type[Gateway]
) -> None:
    expired(store)
    with make(named(config, "one")):
        wait_until(lambda: "one" in listed(store))
    assert store.count().expired == len(NAMES)


def test_a_callback_that_raises_is_tried_again_and_holds_nothing_up(
    config: StoreConfig,
    store: SessionStore,
    make: type[Gateway],
    caplog: pytest.LogCaptureFixture,
) -> None:
    expired(store)
    attempts: list[int] = []
    keys: set[str] = set()

    def close(session: ExpiredSession) -> None:
        if session.entry.session_key == key(NAMES[3]):
            attempts.append(session.attempt)
            keys.add(session.key)
            raise OSError("the disk is full")

    twice = named(config, "one").model_copy(update={"finalize_attempts": 2})
    with make(twice, close):
        wait_until(lambda: closed(store) == len(NAMES), timeout=30)
    assert attempts == [1, 2]
    assert len(keys) == 1
    assert raw(store, NAMES[3])[b"finalize_error"] == b"OSError: the disk is full"
    assert "given up" in caplog.text


def test_a_slow_callback_keeps_its_session_and_its_replica_alive(
    config: StoreConfig, store: SessionStore, make: type[Gateway]
) -> None:
    put(store, [aged("slow", 2 * HOUR)])
    begun_by: list[str] = []
    go_on = threading.Event()

    def slow(_: ExpiredSession) -> None:
        begun_by.append("one")
        assert go_on.wait(20)

    with make(named(config, "one"), slow):
        wait_until(lambda: begun_by)
        with make(named(config, "two"), lambda _: begun_by.append("two")):
            # Both heartbeat and claim would have lapsed twice by then.
            first = look_again_at(store, "slow")
            wait_until(lambda: look_again_at(store, "slow") > first + 2000)
            assert listed(store)["one"].alive
            go_on.set()
            wait_until(lambda: closed(store) == 1)
    assert begun_by == ["one"]


def test_stop_waits_for_the_callback_and_gives_back_what_was_not_begun(
    config: StoreConfig, store: SessionStore, make: type[Gateway]
) -> None:
    expired(store)
    long = named(config, "one").model_copy(update={"finalize_claim_ttl": 600.0})
    told: list[ExpiredSession] = []
    go_on = threading.Event()

    def first(session: ExpiredSession) -> None:
        told.append(session)
        assert go_on.wait(20)

    with make(long, first) as gateway:
        wait_until(lambda: told)
        stopping = threading.Thread(target=gateway.stop)
        stopping.start()
        wait_until(lambda: listed(store)["one"].state == "draining")
        go_on.set()
        stopping.join()
    assert closed(store) == len(told) == 1
    assert listed(store) == {}
    with make(named(config, "two"), told.append):
        wait_until(lambda: closed(store) == len(NAMES))
    assert Counter(one.entry.session_key for one in told) == Counter(map(key, NAMES))
    assert {one.attempt for one in told} == {1}


def test_redis_being_away_is_logged_and_survived(
    make: type[Gateway], caplog: pytest.LogCaptureFixture
) -> None:
    with Server(require("valkey-9.1"), appendonly=True, appendfsync="always") as server:
        config = StoreConfig(
            url=server.url(),
            replica="one",
            default_reset_policy=IDLE,
            heartbeat_ttl=1,
            deadline=0.5,
            socket_timeout=0.2,
        )
        told: list[ExpiredSession] = []
        with make(config, told.append), caplog.at_level(logging.WARNING, "redisstore"):
            with SessionStore.from_url(config=config) as store:
                wait_until(lambda: listed(store))
                server.kill()
                wait_until(lambda: "maintenance (heartbeat) goes on later" in caplog.text)
                server.start()
                wait_until(lambda: listed(store)["one"].alive)
                put(store, [aged("ada", 2 * HOUR)])
                wait_until(lambda: closed(store) == 1, timeout=20)
            server.kill()
        assert "did not leave the list" in caplog.text
        assert len(told) == 1


def test_a_message_that_comes_while_its_session_is_closed_is_not_held_up(
    config: StoreConfig, store: SessionStore, make: type[Gateway]
) -> None:
    put(store, [aged("ada", 2 * HOUR)])
    go_on, told = threading.Event(), list[ExpiredSession]()

    def close(session: ExpiredSession) -> None:
        told.append(session)
        assert go_on.wait(20)

    with make(named(config, "one"), close):
        wait_until(lambda: told)
        with store.turn(source("ada"), wait=0) as turn:
            assert turn.reset_reason == "idle"
            assert turn.entry.session_id != told[0].entry.session_id
        go_on.set()
    entry = store.get_session(key("ada"))
    assert entry is not None
    assert not entry.expiry_finalized
