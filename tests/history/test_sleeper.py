"""A replica that was stopped for longer than its lease, and then woken, cannot write anything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from redisstore import SessionEntry, SessionStore, StoreConfig
from tests.processes.lanes import key_of, source_of
from tests.servers import BACKEND_NAMES, Cluster, Server, require, wait_until

from .sleeper import LANE, MESSAGE, NAMESPACE

ROOT = Path(__file__).parents[2]
LEASE = 1.0
WAYS = {
    *("update past the turn", "end past the turn", "model", "reset", "switch", "amend"),
    *("turn.update", "turn.end"),
}


@pytest.fixture(params=[*BACKEND_NAMES, "cluster"])
def store(request: pytest.FixtureRequest) -> Iterator[SessionStore]:
    clustered = request.param == "cluster"
    backend = require(BACKEND_NAMES[0] if clustered else request.param)
    with (Cluster if clustered else Server)(backend) as server:
        config = StoreConfig(
            url=server.url(),
            namespace=NAMESPACE,
            partitions=12 if clustered else 1,
            turn_lease_ttl=LEASE,
            replica="other",
        )
        with SessionStore.from_url(config=config) as store:
            yield store


class Sleeper:
    """The other process, which has a turn and is stopped."""

    def __init__(self, process: subprocess.Popen[str], said: IO[str], told: IO[str]) -> None:
        self._process, self._said, self._told = process, said, told

    def wake(self) -> dict[str, str]:
        """Let it go on; what became of all that it tried to write."""
        os.kill(self._process.pid, signal.SIGCONT)
        print("go on", file=self._told, flush=True)
        outcomes: dict[str, str] = json.loads(self._said.readline())
        return outcomes


@contextmanager
def stopped_in_mid_turn(store: SessionStore) -> Iterator[Sleeper]:
    config = store.config
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.history.sleeper"),
            *(config.url, str(config.partitions), str(LEASE)),
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            assert process.stdout.readline() == "begun\n"
            os.kill(process.pid, signal.SIGSTOP)
            yield Sleeper(process, process.stdout, process.stdin)
        finally:
            process.kill()


def session(store: SessionStore) -> SessionEntry:
    entry = store.get_session(key_of(LANE))
    assert entry is not None
    return entry


def test_it_writes_nothing_where_nobody_has_come_meanwhile(store: SessionStore) -> None:
    with stopped_in_mid_turn(store) as sleeper:
        before = session(store)
        wait_until(lambda: next(iter(store.list_turns())).lapsed)
        assert sleeper.wake() == dict.fromkeys(WAYS, "TurnLost")
    assert session(store) == before
    assert store.recover_turns() == 1


def test_it_writes_nothing_where_another_turn_was_served(store: SessionStore) -> None:
    with stopped_in_mid_turn(store) as sleeper:
        with store.turn(source_of(LANE), "m-2", wait=30) as turn:
            turn.end(output_tokens=7)
        before = session(store)
        assert sleeper.wake() == dict.fromkeys(WAYS, "TurnLost")
    assert session(store) == before
    assert before.total_tokens == 7
    with store.turn(source_of(LANE), MESSAGE) as again:
        again.end()


def test_it_writes_nothing_while_another_turn_runs(store: SessionStore) -> None:
    with stopped_in_mid_turn(store) as sleeper, store.turn(source_of(LANE), wait=30) as turn:
        before = session(store)
        assert sleeper.wake() == dict.fromkeys(WAYS, "TurnLost")
        assert session(store) == before
        assert turn.end(output_tokens=7).total_tokens == 7
