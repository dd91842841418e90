"""A run: replicas that handle everything, while they are killed, paused, cut off and begun anew."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redisstore import SessionStore, StoreConfig
from tests.processes.lanes import key_of, source_of

from .checker import History
from .notes import RESET_LANES, SHARED_LANES
from .records import Operation, Pause, Recorder, read

__all__ = ["Run", "play"]

ROOT = Path(__file__).parents[2]
REPLICAS = 8
LANES = [
    *(f"l{number}" for number in range(84)),
    *(f"{RESET_LANES}{number}" for number in range(24)),
    *(f"{SHARED_LANES}{number}" for number in range(6)),
]
OPERATIONS_A_MESSAGE = 4.0
"""Begin, update and end; and that it is refused where it is delivered again."""
LEASE = 1.0
PAUSE = 1.6
PATIENCE = 900.0


@dataclass
class Run:
    """What became of a run."""

    history: History
    faults: Counter[str]
    """How often what was done to the replicas: ``kill``, ``pause``, ``cut``."""
    seconds: float

    @property
    def calls(self) -> list[Operation]:
        """What was asked of the store, and answered."""
        notes = {"queued", "stall"}
        operations = self.history.operations
        return [o for o in operations if o.kind not in notes and o.outcome != "unknown"]

    def figures(self) -> str:
        """Say how much it was."""
        calls, messages = self.calls, len(self.history.messages)
        begins = sum(call.kind == "begin" for call in calls)
        turns = sum(call.kind == "begin" and call.outcome == "ok" for call in calls)
        return (
            f"{len(calls)} operations, {turns} turns for {messages} messages, "
            f"{begins - messages} redeliveries, {dict(self.faults)}, "
            f"{self.seconds:.0f} s, {len(calls) / self.seconds:.0f} operations/s"
        )


class _Replica:
    def __init__(self, name: str, settings: Path, kind: str) -> None:
        self.name, self._settings, self._kind = name, settings, kind
        self.life = 0
        self.start()

    def start(self) -> None:
        self.life += 1
        arguments = (str(self._settings), self.name, str(self.life), self._kind)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.history.replica", *arguments],
            cwd=ROOT,
        )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def at_work(self) -> bool:
        return self.notes.exists() and self.notes.stat().st_size > 0

    @property
    def notes(self) -> Path:
        return self._settings.with_name(f"{self.name}.{self.life}.jsonl")

    def processes(self) -> set[str]:
        """What its tokens begin with."""
        tokens = {one.token for one in read([self.notes]) if one.token}
        return {token.rpartition("/")[0] for token in tokens}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> Pause:
        """Stop it for longer than its lease."""
        stopped = time.monotonic_ns()
        os.kill(self.process.pid, signal.SIGSTOP)
        time.sleep(PAUSE)
        woken = time.monotonic_ns()
        os.kill(self.process.pid, signal.SIGCONT)
        return Pause(self.name, stopped, woken)


def play(
    config: StoreConfig,
    directory: Path,
    operations: int,
    faults: Counter[str],
    seed: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> Run:
    """Let the replicas handle so much that at least so many operations are noted.

    Meanwhile some are killed and started anew, some are paused for longer than their lease, and
    all connections are cut, so that answers are lost, as often as ``faults`` says.
    """
    config = config.model_copy(
        update={"turn_lease_ttl": LEASE, "suspend_after_interruptions": 0, "deadline": 30.0}
    )
    chance = random.Random(seed)
    messages = [
        (LANES[number % len(LANES)], f"m-{number}")
        for number in range(int(operations / OPERATIONS_A_MESSAGE))
    ]
    started = time.monotonic()
    with SessionStore.from_url(config=config) as store:
        settings = _plan(store, config, directory / "settings.json", messages, chance)
        replicas = [
            _Replica(f"gateway-{number}", settings, "tasks" if number % 2 else "threads")
            for number in range(REPLICAS)
        ]
        try:
            todo = chance.sample(list(faults.elements()), faults.total())
            killed, paused = _disturb(replicas, store, todo, chance, progress)
        finally:
            for replica in replicas:
                replica.kill()
        seconds = time.monotonic() - started
        _note_ends(store, Recorder(directory / "end.jsonl", "driver"))
        assert list(store.audit()) == []
    history = History(
        read(sorted(directory.glob("*.jsonl"))), messages=messages, pauses=paused, killed=killed
    )
    done = faults - Counter(todo)
    return Run(history, done, seconds)


def _plan(
    store: SessionStore,
    config: StoreConfig,
    path: Path,
    messages: Sequence[tuple[str, str]],
    chance: random.Random,
) -> Path:
    """Give each message to two replicas, and bind some lanes to one session id."""
    names = [f"gateway-{number}" for number in range(REPLICAS)]
    given: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
    for message in messages:
        for name in chance.sample(names, 2):
            given[name].append(message)
    first, *others = (lane for lane in LANES if lane.startswith(SHARED_LANES))
    shared_id = store.get_or_create_session(source_of(first)).session_id
    for lane in others:
        store.get_or_create_session(source_of(lane))
        store.switch_session(key_of(lane), shared_id)
    fields = config.model_dump(exclude_unset=True)
    plan = {"config": fields, "messages": given, "shared_id": shared_id}
    path.write_text(json.dumps(plan, default=str))
    return path


def _cut_off(store: SessionStore) -> None:
    client: Any = store._runner.connection.client
    nodes = client.get_primaries() if store._runner.connection.clustered else ()
    for server in [client.get_redis_connection(node) for node in nodes] or [client]:
        server.client_kill_filter(_type="normal", skipme=True)


def _note_ends(store: SessionStore, recorder: Recorder) -> None:
    for lane in LANES:
        operation = recorder.invoke("read", lane)
        entry = store.get_session(key_of(lane))
        assert entry is not None
        seen = {"session_id": entry.session_id, "version": entry.version}
        recorder.answer(operation, "ok", total=entry.total_tokens, **seen)


def _disturb(
    replicas: list[_Replica],
    store: SessionStore,
    todo: list[str],
    chance: random.Random,
    progress: Callable[[], None],
) -> tuple[set[str], list[Pause]]:
    killed: set[str] = set()
    paused: list[Pause] = []
    deadline = time.monotonic() + PATIENCE
    while any(replica.running for replica in replicas):
        if time.monotonic() > deadline:
            raise TimeoutError("the replicas do not get done")
        for replica in replicas:
            if replica.process.poll() not in {None, 0}:
                raise AssertionError(f"{replica.name} failed")
        progress()
        busy = [one for one in replicas if one.running and one.at_work]
        if todo and busy:
            victim = chance.choice(busy)
            match todo.pop():
                case "kill":
                    victim.kill()
                    killed |= victim.processes()
                    victim.start()
                case "pause":
                    paused.append(victim.pause())
                case _:
                    _cut_off(store)
        time.sleep(chance.uniform(0.2, 0.6))
    return killed, paused
