"""The demonstration: it ends well on a sound store, and notices what is wrong with another."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from redisstore.demo import place, run_demo
from redisstore.demo.settings import store_config
from redisstore.errors import InvalidInput, StoreUnavailable
from tests.entries import source
from tests.servers import Cluster, Server, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisstore.config import StoreConfig

ROOT = Path(__file__).resolve().parent.parent
CLAIMS = (
    "Every message was answered exactly once",
    "Nobody was served by two gateways at the same time",
    "What a kill cut off was found, marked, and taken up again",
    "One session id per person",
    "No token was lost, and none counted twice",
    "Exactly the expected sessions were pruned",
    "Held and suspended sessions are still there",
    "The audit finds nothing",
)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("valkey-9.1") as running:
        yield running


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is all the demo knows to put temporary things into."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def keys_of_demos(server: Server) -> list[bytes]:
    found: list[bytes] = server.ask("KEYS", "{demo-*")
    return found


def session_in_use(server: Server) -> bytes:
    """The Redis key of a session that has answered a message during the demo already."""

    def find() -> bytes | None:
        entries: list[bytes] = server.ask("KEYS", "{demo-*}:entry:*")
        return next((key for key in entries if server.ask("HGET", key, "output_tokens")), None)

    found = wait_until(find, timeout=60, message="a session with counted tokens")
    assert found is not None
    return found


def demo_with_fault(server: Server, plant: Callable[[bytes], object]) -> bool:
    """Run the demo, and meanwhile do something to one of the sessions in use."""
    with ThreadPoolExecutor(1) as saboteur:
        planted = saboteur.submit(lambda: plant(session_in_use(server)))
        held = run_demo(server.url(), seconds=3, replicas=2)
        planted.result()
    return held


def test_everything_holds_on_a_server_of_its_own_which_is_gone_afterwards(
    temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_demo(None, seconds=4, replicas=3)

    shown = capsys.readouterr().out
    for claim in CLAIMS:
        assert f"✓ {claim}" in shown
    assert "600 sessions" in shown
    for victim in ("gateway-1", "gateway-3"):
        assert f"{victim} is killed (kill -9) in the middle of" in shown
        assert re.search(rf"all \d+ messages that {victim} left are answered", shown)
    assert "All 8 checks hold." in shown
    assert list(temporary.iterdir()) == []


def test_a_given_server_keeps_only_what_it_had(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.ask("SET", "{redisstore}:entry:somebody", "else's")
    server.ask("SET", "{demo}:entry:somebody", "else's")

    assert run_demo(server.url(), seconds=2, replicas=3)

    assert "All 8 checks hold." in capsys.readouterr().out
    assert sorted(server.ask("KEYS", "*")) == [
        b"{demo}:entry:somebody",
        b"{redisstore}:entry:somebody",
    ]


class BrokenOff(Exception):
    """Ends a play in its middle."""


def broken_off(url: str, lose_meta: Callable[[str], object]) -> None:
    """Store sessions as a demo does, take the layout record away, and break off."""
    with place.prepared(url) as stage, stage.store() as store:
        for number in range(150):
            store.get_or_create_session(source(str(number)))
        lose_meta(f"{{{stage.namespace}}}:meta")
        raise BrokenOff


def test_a_play_that_breaks_off_leaves_nothing_also_without_a_layout_record(
    server: Server,
) -> None:
    with pytest.raises(BrokenOff):
        broken_off(server.url(), lambda meta: server.ask("DEL", meta))
    assert keys_of_demos(server) == []


def test_a_namespace_that_could_not_be_removed_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(url: str, namespace: str, replica: str) -> StoreConfig:
        config = store_config(url, namespace, replica)
        return config.model_copy(update={"deadline": 0.5})

    monkeypatch.setattr(place, "store_config", impatient)
    with place.prepared(server.url()) as stage, ExitStack() as opened:
        opened.enter_context(stage.store()).get_or_create_session(source("ada"))
        server.stop()
        with pytest.raises(StoreUnavailable, match=f"namespace {stage.namespace} could not be"):
            opened.close()


def test_a_cluster_with_many_partitions_is_left_empty(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Cluster("valkey-9.1") as cluster:
        assert run_demo(cluster.url(), seconds=2, replicas=2), capsys.readouterr().out
        assert [node.ask("DBSIZE") for node in cluster.nodes] == [0] * len(cluster.nodes)

        def lose(meta: str) -> None:
            with cluster.client() as client:
                assert client.delete(meta) == 1

        with pytest.raises(BrokenOff):
            broken_off(cluster.url(), lose)
        assert [node.ask("DBSIZE") for node in cluster.nodes] == [0] * len(cluster.nodes)


def test_a_lost_count_fails_the_demo(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    held = demo_with_fault(server, lambda key: server.ask("HINCRBY", key, "output_tokens", -1))

    shown = capsys.readouterr().out
    assert not held
    assert "✗ FAILED No token was lost" in shown
    assert "✓ One session id per person" in shown
    assert "1 of 8 checks FAILED." in shown
    assert keys_of_demos(server) == []


def test_an_answer_given_twice_fails_the_demo(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()

    def forget_what_was_answered() -> None:
        while not ended.wait(0.02):
            for key in server.ask("KEYS", "{demo-*}:seen:*"):
                server.ask("DEL", key)

    with ThreadPoolExecutor(1) as saboteur:
        planted = saboteur.submit(forget_what_was_answered)
        try:
            held = run_demo(server.url(), seconds=3, replicas=2)
        finally:
            ended.set()
        planted.result()

    shown = capsys.readouterr().out
    assert not held
    assert "✗ FAILED Every message was answered exactly once" in shown
    assert re.search(r"message-\d+ of .*: expected 1 answer, found \d+, by gateway-", shown)
    assert "✗ FAILED No token was lost, and none counted twice" in shown
    assert "✓ Nobody was served by two gateways at the same time" in shown


def test_a_second_session_id_fails_the_demo(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    held = demo_with_fault(server, lambda key: server.ask("HSET", key, "session_id", "another"))

    shown = capsys.readouterr().out
    assert not held
    assert "✗ FAILED One session id per person" in shown
    assert "expected 1 session id, found" in shown
    assert "✗ FAILED The audit finds nothing" in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_on_the_server(
    server: Server, number: signal.Signals
) -> None:
    url = server.url()
    code = f"from redisstore.demo import run_demo; run_demo({url!r}, seconds=60, replicas=2)"
    demo = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    try:
        session_in_use(server)
        demo.send_signal(number)
        assert demo.wait(60) != 0
    finally:
        demo.kill()
        demo.wait()

    assert keys_of_demos(server) == []
    wait_until(
        lambda: b"gateway" not in server.ask("CLIENT", "LIST"), message="the gateways to be gone"
    )


def test_a_killed_demo_leaves_no_server_of_its_own(tmp_path: Path) -> None:
    code = "from redisstore.demo import run_demo; run_demo(None, seconds=60, replicas=2)"
    demo = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        cwd=ROOT,
    )
    try:
        wait_until(lambda: list(tmp_path.glob("*/server.sock")), timeout=30, message="its server")
    finally:
        demo.kill()
        demo.wait()

    wait_until(
        lambda: not list(tmp_path.glob("*/server.sock")), timeout=30, message="an end of the server"
    )


def test_a_store_inside_one_process_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the demo runs several"):
        run_demo("memory:", seconds=1, replicas=2)


def test_a_server_that_is_not_there_is_an_error_and_no_verdict() -> None:
    with pytest.raises(StoreUnavailable):
        run_demo("unix:///nowhere/redis.sock", seconds=1, replicas=2)
