"""Maintenance by several processes, some of them killed: everything is done, by one at a time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from redisstore import SessionResetPolicy, SessionStore
from tests.servers import wait_until

from .lanes import key_of, source_of, unused_since
from .upkeep import Log, runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redisstore import StoreConfig

    from .crew import Crew

IDLE = SessionResetPolicy(mode="idle", idle_minutes=60)
EXPIRED = 10_000
REPLICAS = [f"replica-{number}" for number in range(5)]


def test_each_expired_session_is_closed_though_a_replica_is_killed(
    crew: Crew, configured: Callable[..., StoreConfig], tmp_path: Path
) -> None:
    config = configured(default_reset_policy=IDLE, finalize_claim_ttl=2)
    logs = {replica: Log(tmp_path / replica) for replica in REPLICAS}
    until = tmp_path / "until"
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with SessionStore.from_url(config=config) as store:
        lanes = (unused_since(str(number), yesterday) for number in range(EXPIRED))
        assert {verdict for _, verdict in store.import_sessions(lanes)} == {"created"}
        told = [
            ("look_after", {"replica": replica, "log": tmp_path / replica, "until": until})
            for replica in REPLICAS
        ]
        shift = crew.begin(told, config)
        wait_until(lambda: store.count().expiring < EXPIRED / 2, timeout=60)
        shift.kill(0)
        wait_until(lambda: store.count().expiring == 0, timeout=60)
        until.touch()
        shift.finish()
        assert all(entry.expiry_finalized for entry in store.list_sessions())
        assert list(store.audit()) == []

    begun = {replica: _keys(log, "begun") for replica, log in logs.items()}
    everywhere = sum(begun.values(), Counter[str]())
    assert len(everywhere) == EXPIRED
    repeated = {key for key, times in everywhere.items() if times > 1}
    assert repeated <= begun[REPLICAS[0]].keys()
    assert sum((_keys(log, "done") for log in logs.values()), Counter[str]()).keys() == set(
        everywhere
    )
    assert all(begun.values()), "each replica did its share"


def test_a_job_is_never_done_by_two_at_once_and_goes_on_when_its_replica_is_killed(
    crew: Crew, configured: Callable[..., StoreConfig], tmp_path: Path
) -> None:
    config = configured(job_lease_ttl=1, deadline=0.4, socket_timeout=0.2)
    logs = {replica: Log(tmp_path / replica) for replica in REPLICAS}
    until = tmp_path / "until"
    told = [
        ("take_and_do", {"replica": replica, "log": tmp_path / replica, "until": until})
        for replica in REPLICAS
    ]
    with SessionStore.from_url(config=config) as store:
        store.get_or_create_session(source_of("1"))
    shift = crew.begin(told, config)
    killed: list[str] = []
    while len(killed) < 3:
        wait_until(lambda: len(runs(logs)) > 3 * (len(killed) + 1), timeout=60)
        (at_it, *_) = wait_until(
            lambda: [run for run in runs(logs) if not run.done and run.replica not in killed]
        )
        shift.kill(REPLICAS.index(at_it.replica))
        killed.append(at_it.replica)
        done = len(runs(logs))
        wait_until(lambda done=done: len(runs(logs)) > done + 1)  # type: ignore[misc]
    until.touch()
    shift.finish()

    found = runs(logs)
    for before, after in pairwise(found):
        assert before.last_step < after.began, (before, after)
    cut = [run for run in found if not run.done and run.replica in killed]
    assert cut, "none was killed in the middle"


def test_turns_of_a_killed_replica_are_found_and_marked_once(
    crew: Crew, configured: Callable[..., StoreConfig], tmp_path: Path
) -> None:
    config = configured(turn_lease_ttl=2, heartbeat_ttl=1)
    until = tmp_path / "until"
    lanes = {replica: [f"{replica} {number}" for number in range(10)] for replica in REPLICAS}
    told = [
        (
            "serve_and_look_after",
            {"replica": replica, "names": names, "in_turns": True, "until": until},
        )
        for replica, names in lanes.items()
    ]
    with SessionStore.from_url(config=config) as store:
        shift = crew.begin(told, config)
        wait_until(lambda: len(list(store.list_turns())) == 50, timeout=30)
        shift.kill(0)
        shift.kill(1)
        wait_until(lambda: len(list(store.list_turns())) == 30, timeout=30)
        lost = _events(store, b"turn_lost")
        for replica, names in lanes.items():
            for name in names:
                entry = store.get_session(key_of(name))
                assert entry is not None
                dead = replica in REPLICAS[:2]
                assert (entry.resume_pending, entry.interruptions) == (dead, int(dead))
                assert lost[key_of(name)] == int(dead)
        until.touch()
        shift.finish()


def test_a_restarted_replica_marks_the_sessions_of_the_dead_and_of_no_other(
    crew: Crew, configured: Callable[..., StoreConfig], tmp_path: Path
) -> None:
    config = configured(heartbeat_ttl=1)
    until = tmp_path / "until"
    told = [
        (
            "serve_and_look_after",
            {"replica": replica, "names": [replica], "in_turns": False, "until": until},
        )
        for replica in REPLICAS[:3]
    ]
    with SessionStore.from_url(config=config) as store:
        shift = crew.begin(told, config)
        wait_until(lambda: store.count_sessions() == 3)
        wait_until(lambda: sum(one.alive for one in store.list_replicas()) == 3)
        shift.kill(0)
        wait_until(lambda: any(not one.alive for one in store.list_replicas()))
        with SessionStore.from_url(config=config) as restarted:
            assert restarted.suspend_recently_active() == 1
        marked = {
            replica: entry.resume_pending
            for replica in REPLICAS[:3]
            if (entry := store.get_session(key_of(replica)))
        }
        assert marked == {REPLICAS[0]: True, REPLICAS[1]: False, REPLICAS[2]: False}
        until.touch()
        shift.finish()
        assert [one.name for one in store.list_replicas()] == [REPLICAS[0]]


def _keys(log: Log, kind: str) -> Counter[str]:
    return Counter(key for what, key in log.lines() if what == kind)


def _events(store: SessionStore, kind: bytes) -> Counter[str]:
    """How many events of a kind there are for each session key."""
    context = store.layout()
    client: Any = store._runner.connection.client
    return Counter(
        event[b"session_key"].decode()
        for home in (context.space.partitions if context else ())
        for _, event in client.xrange(home.events)
        if event[b"event"] == kind
    )
