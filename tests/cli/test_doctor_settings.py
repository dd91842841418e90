"""What the doctor says of a server: its version, what it keeps, its memory, and what it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import redis

from redisstore import SessionStore
from redisstore.doctor import examine, judge_memory, judge_persistence, judge_version
from redisstore.server_info import ServerInfo
from tests.cli.material import Run, document, source
from tests.servers import Server

SOUND = ServerInfo(
    product="Valkey",
    version=(9, 1, 2),
    append_only=True,
    last_write_ok=True,
    has_snapshots=False,
    maxmemory=0,
    eviction_policy="noeviction",
    used_memory=1_000_000,
)


@pytest.mark.parametrize(
    ("product", "version", "severity"),
    [
        ("Redis", (6, 2, 14), "fault"),
        ("Redis", (7, 0, 0), "ok"),
        ("Redis", (8, 2, 3), "ok"),
        ("Valkey", (7, 0, 9), "fault"),
        ("Valkey", (7, 2, 0), "ok"),
        ("Valkey", (9, 1), "ok"),
    ],
)
def test_servers_too_old_for_the_scripts_are_a_fault(
    product: str, version: tuple[int, ...], severity: str
) -> None:
    finding = judge_version(dataclasses.replace(SOUND, product=product, version=version))
    assert finding.severity == severity
    assert finding.message.startswith(f"{product} {version[0]}.{version[1]}")


@pytest.mark.parametrize(
    ("facts", "severities"),
    [
        ({}, ["ok"]),
        ({"append_only": False}, ["warning"]),
        ({"append_only": False, "has_snapshots": True}, ["ok"]),
        ({"last_write_ok": False}, ["fault", "ok"]),
        ({"append_only": False, "last_write_ok": False}, ["fault", "warning"]),
    ],
)
def test_sessions_that_a_restart_may_lose_are_a_warning_and_failed_writes_a_fault(
    facts: dict[str, Any], severities: list[str]
) -> None:
    findings = judge_persistence(dataclasses.replace(SOUND, **facts))
    assert [one.severity for one in findings] == severities


@pytest.mark.parametrize(
    ("maxmemory", "policy", "severities"),
    [
        (0, "noeviction", ["ok"]),
        (0, "allkeys-lru", ["warning", "ok"]),
        (2_000_000, "noeviction", ["ok"]),
        (2_000_000, "volatile-ttl", ["fault", "ok"]),
        (1_050_000, "noeviction", ["warning"]),
        (1_050_000, "allkeys-lru", ["fault", "warning"]),
        (1_000_000, "noeviction", ["fault"]),
        (500_000, "noeviction", ["fault"]),
    ],
)
def test_eviction_is_a_fault_and_memory_that_runs_out_a_warning(
    maxmemory: int, policy: str, severities: list[str]
) -> None:
    info = dataclasses.replace(SOUND, maxmemory=maxmemory, eviction_policy=policy)
    findings = list(judge_memory(info))
    assert [one.severity for one in findings] == severities
    evictions = [one for one in findings if "maxmemory-policy" in one.message]
    assert all("maxmemory-policy noeviction" in one.advice for one in evictions)


@pytest.mark.parametrize(
    ("maxmemory", "machine", "severity"),
    [
        (0, 0, "ok"),
        (0, 2_000_000, "ok"),
        (0, 1_900_000, "warning"),
        (2_000_000, 2_000_000, "ok"),
        (2_000_001, 2_000_000, "warning"),
    ],
)
def test_memory_that_the_machine_does_not_have_is_a_warning(
    maxmemory: int, machine: int, severity: str
) -> None:
    info = dataclasses.replace(SOUND, maxmemory=maxmemory, machine_memory=machine)
    (finding,) = judge_memory(info)
    assert finding.severity == severity
    assert ("the machine's" in finding.message) == (severity == "warning")


def test_a_limit_above_the_memory_of_a_real_machine_is_found(
    store: SessionStore, client: redis.Redis
) -> None:
    store.get_or_create_session(source("42"))
    client.config_set("maxmemory", 10**15)
    try:
        found = list(examine(store, quick=True))
    finally:
        client.config_set("maxmemory", "0")
    assert [one.check for one in found if one.severity == "warning"] == ["memory"]


def test_a_sentinel_is_told_from_a_server(run: Run) -> None:
    with Server("valkey-9.1", mode="sentinel") as sentinel:
        result = run("doctor", "--json", url=sentinel.url())
    assert result.exit_code == 1
    assert "redis+sentinel://" in result.stderr
    told = document(result)
    assert [one["message"] for one in told["findings"] if one["severity"] == "fault"] == [
        "it is a Sentinel, and keeps no sessions"
    ]


def test_eviction_of_a_real_server_is_found(store: SessionStore, client: redis.Redis) -> None:
    client.config_set("maxmemory", "100mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        (fault,) = (one for one in examine(store) if one.severity == "fault")
    finally:
        client.config_set("maxmemory", "0")
        client.config_set("maxmemory-policy", "noeviction")
    assert "allkeys-lru" in fault.message
