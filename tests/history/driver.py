"""A run: replicas that handle everything, while they are killed, paused and started anew."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from redisstore import SessionStore, StoreConfig
from tests.processes.lanes import key_of, source_of

from .checker import History
from .records import Pause, read

__all__ = ["Run", "play"]

ROOT = Path(__file__).parents[2]
REPLICAS = 8
LANES = 40
RESET_LANES = 8
OPERATIONS_A_MESSAGE = 4
"""Begin, update and end; and that it is refused when it is delivered again."""
LEASE = 1.0
PAUSE = 1.6
SHARED = ("s0", "s1")
PATIENCE = 600.0


@dataclass
class Run:
    """What became of a run."""

    history: History
    kills: int
    pauses: int
    seconds: float


class _Replica:
    def __init__(self, name: str, settings: Path, kind: str) -> None:
        self.name, self._settings, self._kind = name, settings, kind
        self.life = 0
        self.start()

    def start(self) -> None:
        self.life += 1
        self.process = subprocess.Popen(
            [
                sys.executable,
                *("-m", "tests.history.replica"),
                *(str(self._settings), self.name, str(self.life), self._kind),
            ],
            cwd=ROOT,
        )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def notes(self) -> Path:
        return self._settings.with_name(f"{self.name}.{self.life}.jsonl")

    def processes(self) -> set[str]:
        """What its tokens begin with."""
        with self.notes.open() as lines:
            tokens = [json.loads(line)["token"] for line in lines if line.endswith("\n")]
        return {token.rpartition("/")[0] for token in tokens if token}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def play(
    config: StoreConfig, directory: Path, operations: int, kills: int, pauses: int, seed: int = 1
) -> Run:
    """Let the replicas handle so much that about so many operations are noted."""
    config = config.model_copy(
        update={"turn_lease_ttl": LEASE, "suspend_after_interruptions": 0, "deadline": 30.0}
    )
    chance, names = random.Random(seed), [f"gateway-{number}" for number in range(REPLICAS)]
    lanes = [
        *(f"l{number}" for number in range(LANES - RESET_LANES - 2)),
        *(f"r{number}" for number in range(RESET_LANES)),
        *SHARED,
    ]
    messages = [
        (lanes[number % len(lanes)], f"m-{number}")
        for number in range(operations // OPERATIONS_A_MESSAGE)
    ]
    given: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
    for message in messages:
        for name in chance.sample(names, 2):
            given[name].append(message)
    settings = directory / "settings.json"
    settings.write_text(
        json.dumps(
            {"config": config.model_dump(exclude_unset=True), "messages": given}, default=str
        )
    )
    started = time.monotonic()
    with SessionStore.from_url(config=config) as store:
        for lane in SHARED:
            store.get_or_create_session(source_of(lane))
        first = store.get_session(key_of(SHARED[0]))
        assert first is not None
        store.switch_session(key_of(SHARED[1]), first.session_id)
        replicas = [
            _Replica(name, settings, "tasks" if index % 2 else "threads")
            for index, name in enumerate(names)
        ]
        try:
            killed, paused = _disturb(replicas, chance, kills, pauses)
        finally:
            for replica in replicas:
                replica.kill()
        totals = {
            lane: entry.total_tokens
            for lane in lanes
            if (entry := store.get_session(key_of(lane))) is not None
        }
        assert list(store.audit()) == []
    history = History(
        read(sorted(directory.glob("*.jsonl"))),
        messages=messages,
        pauses=paused,
        killed=killed,
        shared=[frozenset(SHARED)],
        totals=totals,
    )
    return Run(history, kills, len(paused), time.monotonic() - started)


def _disturb(
    replicas: list[_Replica], chance: random.Random, kills: int, pauses: int
) -> tuple[set[str], list[Pause]]:
    killed: set[str] = set()
    paused: list[Pause] = []
    todo = ["kill"] * kills + ["pause"] * pauses
    chance.shuffle(todo)
    deadline = time.monotonic() + PATIENCE
    time.sleep(2.0)  # until they are at work; what matters is that they are disturbed in it
    while any(replica.running for replica in replicas):
        if time.monotonic() > deadline:
            raise TimeoutError("the replicas do not get done")
        running = [one for one in replicas if one.running and one.notes.exists()]
        for replica in replicas:
            if replica.process.poll() not in {None, 0}:
                raise AssertionError(f"{replica.name} failed")
        if todo and running:
            victim = chance.choice(running)
            if todo.pop() == "kill":
                victim.kill()
                killed |= victim.processes()
                victim.start()
            else:
                paused.append(_pause(victim))
        time.sleep(chance.uniform(0.1, 0.6))
    return killed, paused


def _pause(victim: _Replica) -> Pause:
    stopped = time.monotonic_ns()
    os.kill(victim.process.pid, signal.SIGSTOP)
    time.sleep(PAUSE)
    woken = time.monotonic_ns()
    os.kill(victim.process.pid, signal.SIGCONT)
    return Pause(victim.name, stopped, woken)
