"""A replica: ``python -m tests.history.replica SETTINGS NAME LIFE KIND``, until all is done."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from redisstore import (
    AsyncSessionStore,
    DuplicateMessage,
    RedisStoreError,
    SessionEntry,
    SessionStore,
    StaleWrite,
    StoreConfig,
    StoreUnavailable,
    TurnBusy,
    TurnLost,
)
from tests.processes.lanes import key_of, source_of

from .records import Operation, Recorder

AT_ONCE = 6
"""Messages that a replica handles at a time."""
WAIT = 20.0
RESETS = 0.02
RESET_LANES = "r"
MAINTENANCE = 0.5


class Post:
    """The messages that this replica is given: in random order, and again until each is done."""

    def __init__(self, messages: list[tuple[str, str]], seed: int) -> None:
        self._left = list(messages)
        self.chance = random.Random(seed)
        self.chance.shuffle(self._left)

    def next(self) -> tuple[str, str] | None:
        return self._left.pop() if self._left else None

    def again(self, lane: str, message: str) -> None:
        """It is not known to be done: the platform delivers it again, some time later."""
        self._left.insert(self.chance.randrange(len(self._left) + 1), (lane, message))


class Notes:
    """What is noted of a turn, whether threads or tasks run it."""

    def __init__(self, recorder: Recorder, lane: str, message: str) -> None:
        self._recorder = recorder
        self._lane, self._message = lane, message
        self._facts: dict[str, object] = {}

    def invoke(self, kind: Any, **facts: object) -> Operation:
        return self._recorder.invoke(
            kind, self._lane, message=self._message, **self._facts, **facts
        )

    def name(self, token: str) -> None:
        self._facts["token"] = token

    def begun(self, operation: Operation, turn: Any) -> None:
        self._facts["fence"] = turn.fence
        self.answer(operation, turn.entry, fence=turn.fence)

    def answer(self, operation: Operation, entry: SessionEntry, **facts: object) -> None:
        seen = {"session_id": entry.session_id, "version": entry.version}
        self._recorder.answer(operation, "ok", **{**seen, "total": entry.total_tokens, **facts})

    def failed(self, operation: Operation, error: RedisStoreError) -> bool:
        """Note a failure; true if the message is known to be done."""
        done = isinstance(error, DuplicateMessage) and error.state == "done"
        if not isinstance(error, StoreUnavailable):
            self._recorder.answer(operation, "done" if done else "refused")
        return done


def handle(store: SessionStore, recorder: Recorder, post: Post, lane: str, message: str) -> bool:
    """Handle a message in a turn; whether it is known to be done."""
    notes, tokens = Notes(recorder, lane, message), post.chance.randint(1, 9)
    turn = store.turn(source_of(lane), message, wait=WAIT)
    notes.name(turn.token)
    operation = notes.invoke("begin")
    try:
        with turn:
            notes.begun(operation, turn)
            operation = notes.invoke("update", tokens=1)
            notes.answer(operation, turn.update(output_tokens=1))
            if lane.startswith(RESET_LANES) and post.chance.random() < RESETS:
                operation = notes.invoke("reset")
                reset = store.reset_session(key_of(lane), if_turn=turn)
                assert reset is not None
                notes.answer(operation, reset)
                # Its message is done; of the new session it changes nothing.
                operation = notes.invoke("end")
                turn.end()
                notes.answer(operation, reset, version=0)
                return True
            operation = notes.invoke("end", tokens=tokens)
            notes.answer(operation, turn.end(output_tokens=tokens))
            return True
    except (TurnBusy, TurnLost, DuplicateMessage, StaleWrite, StoreUnavailable) as error:
        return notes.failed(operation, error)


async def handle_async(
    store: AsyncSessionStore, recorder: Recorder, post: Post, lane: str, message: str
) -> bool:
    """Do the same as a task."""
    notes, tokens = Notes(recorder, lane, message), post.chance.randint(1, 9)
    turn = store.turn(source_of(lane), message, wait=WAIT)
    notes.name(turn.token)
    operation = notes.invoke("begin")
    try:
        async with turn:
            notes.begun(operation, turn)
            operation = notes.invoke("update", tokens=1)
            notes.answer(operation, await turn.update(output_tokens=1))
            operation = notes.invoke("end", tokens=tokens)
            notes.answer(operation, await turn.end(output_tokens=tokens))
            return True
    except (TurnBusy, TurnLost, DuplicateMessage, StaleWrite, StoreUnavailable) as error:
        return notes.failed(operation, error)


def note_queued(runner: Any, recorder: Recorder) -> None:
    """Note when a turn is known to stand in line: before it blocks."""
    blocks = runner._wait

    def wait(step: Any) -> Any:
        token = step.key.partition("wake:")[2]
        queued = recorder.invoke("queued", "", token=token)
        recorder.answer(queued, "ok")
        return blocks(step)

    runner._wait = wait


def run_threads(config: StoreConfig, recorder: Recorder, post: Post) -> None:
    """Handle everything by threads."""
    lock, ended = threading.Lock(), threading.Event()
    with SessionStore.from_url(config=config) as store, ThreadPoolExecutor(AT_ONCE + 1) as pool:
        note_queued(store._runner, recorder)

        def look_after() -> None:
            while not ended.wait(MAINTENANCE):
                with suppress(RedisStoreError):
                    store.recover_turns()

        def work() -> None:
            while True:
                with lock:
                    given = post.next()
                if given is None:
                    return
                if not handle(store, recorder, post, *given):
                    with lock:
                        post.again(*given)
                    time.sleep(0.01)

        upkeep = pool.submit(look_after)
        workers = [pool.submit(work) for _ in range(AT_ONCE)]
        for worker in workers:
            worker.result()
        ended.set()
        upkeep.result()


async def run_tasks(config: StoreConfig, recorder: Recorder, post: Post) -> None:
    """Handle everything by tasks."""
    async with AsyncSessionStore.from_url(config=config) as store:
        note_queued(store._runner, recorder)

        async def look_after() -> None:
            while True:
                await asyncio.sleep(MAINTENANCE)
                with suppress(RedisStoreError):
                    await store.recover_turns()

        async def work() -> None:
            while given := post.next():
                if not await handle_async(store, recorder, post, *given):
                    post.again(*given)
                    await asyncio.sleep(0.01)

        upkeep = asyncio.create_task(look_after())
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        upkeep.cancel()


def main() -> None:
    """Run with the arguments of this process."""
    settings, name, life, kind = sys.argv[1:]
    plan = json.loads(Path(settings).read_text())
    config = StoreConfig.model_validate({**plan["config"], "replica": name})
    path = Path(settings).with_name(f"{name}.{life}.jsonl")
    recorder = Recorder(path, name)
    messages = [(lane, message) for lane, message in plan["messages"][name]]
    post = Post(messages, seed=hash((name, life)))
    if kind == "tasks":
        asyncio.run(run_tasks(config, recorder, post))
    else:
        run_threads(config, recorder, post)


if __name__ == "__main__":
    main()
