"""What a monitor reads from the exit status, of the doctor above all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from typer.testing import CliRunner

from redisstore import SessionStore
from redisstore.cli.app import app
from redisstore.doctor import examine
from tests.cli.material import KEY, Run, document, source
from tests.servers import Server

AWAY = "redis://me:sesame@127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDISSTORE_DEADLINE", "0.5")


@pytest.fixture
def fading(client: redis.Redis) -> Iterator[None]:
    """The server's memory runs out, but for a little."""
    used = client.info("memory")["used_memory"]
    client.config_set("maxmemory", int(used / 0.95))
    yield
    client.config_set("maxmemory", "0")


@pytest.mark.parametrize("quick", [(), ("--quick",)])
def test_a_sound_store_is_status_0(store: SessionStore, run: Run, quick: tuple[str, ...]) -> None:
    store.get_or_create_session(source("42"))
    for strict in ((), ("--strict",)):
        result = run("doctor", "--json", *quick, *strict)
        assert result.exit_code == 0
        found = document(result)
        assert (found["complete"], found["faults"], found["warnings"]) == (True, 0, 0)


@pytest.mark.parametrize("quick", [(), ("--quick",)])
@pytest.mark.usefixtures("fading")
def test_a_warning_is_status_0_and_1_where_warnings_count(
    store: SessionStore, run: Run, quick: tuple[str, ...]
) -> None:
    store.get_or_create_session(source("42"))
    result = run("doctor", "--json", *quick)
    assert (result.exit_code, document(result)["warnings"]) == (0, 1)
    assert run("doctor", "--strict", *quick).exit_code == 1


def test_a_server_that_keeps_nothing_and_a_dead_replica_are_warnings_that_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Server("valkey-9.1", listen="unix") as forgetful, forgetful.client() as client:
        monkeypatch.setenv("REDISSTORE_URL", forgetful.socket_url())
        with SessionStore.from_url() as store:
            store.get_or_create_session(source("42"))
            client.zadd("{redisstore}:replicas", {"gateway-1": 1_700_000_000_000})
            checks = {one.check for one in examine(store, quick=True) if one.severity == "warning"}
        assert checks == {"persistence", "replicas"}
        assert CliRunner().invoke(app, ["doctor"]).exit_code == 0
        assert CliRunner().invoke(app, ["doctor", "--quick", "--strict"]).exit_code == 1


def test_a_fault_is_status_1(store: SessionStore, client: redis.Redis, run: Run) -> None:
    store.get_or_create_session(source("42"))
    client.zrem("{redisstore}:updated_at", KEY)
    assert run("doctor").exit_code == 1


def test_quick_looks_at_no_session(store: SessionStore, client: redis.Redis, run: Run) -> None:
    for chat in range(300):
        store.get_or_create_session(source(str(chat)))
    client.zrem("{redisstore}:updated_at", KEY)
    client.config_resetstat()
    assert run("doctor", "--quick").exit_code == 0
    stats = client.info("commandstats")
    assert isinstance(stats, dict)
    assert "cmdstat_scan" not in stats
    assert "cmdstat_hgetall" not in stats
    # One each for layout, replicas, turns, counts and groups, however many sessions there are.
    assert stats["cmdstat_evalsha"]["calls"] <= 6


def test_wrong_usage_is_status_2(run: Run) -> None:
    result = run("doctor", "--quick", "--repair")
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize("options", [(), ("--quick",), ("--strict",)])
def test_a_redis_that_does_not_answer_is_status_3_and_no_fault(
    run: Run, options: tuple[str, ...]
) -> None:
    result = run("doctor", "--json", *options, url=AWAY)
    assert result.exit_code == 3
    found = document(result)
    assert (found["complete"], found["faults"]) == (False, 0)
    assert run("doctor", *options, url=AWAY).stdout == "nothing was checked\n"


@pytest.mark.parametrize("options", [(), ("--quick",)])
def test_a_store_that_is_not_there_is_a_warning_that_counts(
    store: SessionStore, client: redis.Redis, run: Run, options: tuple[str, ...]
) -> None:
    store.get_or_create_session(source("42"))
    assert run("doctor", "--strict", *options).exit_code == 0
    client.flushall()
    assert run("doctor", *options).exit_code == 0
    result = run("doctor", "--strict", *options)
    assert result.exit_code == 1
    assert "no store in namespace redisstore" in result.stdout


def test_memory_that_is_used_up_is_a_fault(
    store: SessionStore, client: redis.Redis, run: Run
) -> None:
    store.get_or_create_session(source("42"))
    client.config_set("maxmemory", "1mb")
    try:
        result = run("doctor")
    finally:
        client.config_set("maxmemory", "0")
    assert result.exit_code == 1
    assert "writes are refused" in result.stdout


@pytest.mark.parametrize("command", ["list", "stats", "prune", "turns", "replicas"])
def test_every_command_says_so_alike(run: Run, command: str) -> None:
    assert run(command, url=AWAY).exit_code == 3


def test_a_cluster_that_does_not_answer_is_status_3(run: Run) -> None:
    assert run("doctor", url="redis+cluster://127.0.0.1:1").exit_code == 3


def test_a_server_that_refuses_is_status_1(run: Run) -> None:
    with Server("valkey-9.1", listen="unix", requirepass="right") as locked:
        url = locked.socket_url().replace(":right@", ":wrong@")
        assert run("list", url=url).exit_code == 1
        result = run("doctor", url=url)
        assert (result.exit_code, result.stdout) == (1, "nothing was checked\n")
        assert "password" in result.stderr
        assert not document(run("doctor", "--json", url=url))["complete"]


def test_a_server_that_is_full_has_answered(
    store: SessionStore, client: redis.Redis, run: Run
) -> None:
    store.get_or_create_session(source("42"))
    client.config_set("maxmemory", "1")
    try:
        result = run("reset", KEY)
    finally:
        client.config_set("maxmemory", "0")
    assert result.exit_code == 1
    assert "maxmemory" in result.stderr
