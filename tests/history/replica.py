"""A replica: ``python -m tests.history.replica SETTINGS NAME LIFE KIND``, until all is done."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from redisstore import AsyncSessionStore, RedisStoreError, SessionStore, StaleWrite, StoreConfig
from tests.processes.lanes import key_of, source_of

from .notes import EXPECTED, Notes, Post, note_repetitions
from .records import Recorder

AT_ONCE = 6
"""Messages that a replica handles at a time."""
AGAIN = 0.02
MAINTENANCE = 0.5
TICK, STALL = 0.2, 0.7
"""Seconds between two signs of life, and after how many without one it was away."""


def handle(store: SessionStore, recorder: Recorder, post: Post, lane: str, message: str) -> bool:
    """Handle a message in a turn; whether it is known to be done."""
    turn = store.turn(source_of(lane), message, wait=post.patience())
    notes = Notes(recorder, lane, message, turn.token)
    operation = notes.invoke("begin")
    try:
        with turn:
            notes.begun(operation, turn)
            time.sleep(post.work())
            operation = notes.invoke("update", tokens=1)
            notes.answer(operation, turn.update(output_tokens=1))
            if post.resets(lane):
                operation = notes.invoke("reset")
                notes.answer(operation, store.reset_session(key_of(lane), if_turn=turn))
            tokens = post.tokens()
            operation = notes.invoke("end", tokens=tokens)
            notes.answer(operation, turn.end(output_tokens=tokens))
            return True
    except EXPECTED as error:
        return notes.failed(operation, error)


def rebind(store: SessionStore, recorder: Recorder, post: Post, lane: str) -> None:
    """Bind a lane to another session id, whatever turn runs on it."""
    if post.resets(lane):
        notes = Notes(recorder, lane)
        operation = notes.invoke("reset")
        notes.answer(operation, store.reset_session(key_of(lane)))
    elif post.switches(lane) and (before := store.get_session(key_of(lane))) is not None:
        notes = Notes(recorder, lane)
        operation = notes.invoke("switch")
        try:
            bound = store.switch_session(
                key_of(lane), post.other_than(before.session_id), if_version=before.version
            )
            notes.answer(operation, bound)
        except StaleWrite as stale:
            notes.failed(operation, stale)


async def handle_async(
    store: AsyncSessionStore, recorder: Recorder, post: Post, lane: str, message: str
) -> bool:
    """Do the same as a task."""
    turn = store.turn(source_of(lane), message, wait=post.patience())
    notes = Notes(recorder, lane, message, turn.token)
    operation = notes.invoke("begin")
    try:
        async with turn:
            notes.begun(operation, turn)
            await asyncio.sleep(post.work())
            operation = notes.invoke("update", tokens=1)
            notes.answer(operation, await turn.update(output_tokens=1))
            tokens = post.tokens()
            operation = notes.invoke("end", tokens=tokens)
            notes.answer(operation, await turn.end(output_tokens=tokens))
            return True
    except EXPECTED as error:
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


def note_stalls(recorder: Recorder) -> None:
    """Note when this process did not get to run for a while."""

    def watch() -> None:
        last = time.monotonic_ns()
        while True:
            time.sleep(TICK)
            now = time.monotonic_ns()
            if now - last > STALL * 1e9:
                stall = recorder.invoke("stall", "", invoked=last)
                recorder.answer(stall, "ok")
            last = now

    threading.Thread(target=watch, daemon=True).start()


def run_threads(config: StoreConfig, recorder: Recorder, post: Post) -> None:
    """Handle everything by threads."""
    ended = threading.Event()
    with SessionStore.from_url(config=config) as store, ThreadPoolExecutor(AT_ONCE + 1) as pool:
        note_queued(store._runner, recorder)

        def look_after() -> None:
            while not ended.wait(MAINTENANCE):
                with suppress(RedisStoreError):
                    store.recover_turns()

        def work() -> None:
            while given := post.next():
                if not handle(store, recorder, post, *given):
                    post.again(*given)
                    time.sleep(AGAIN)
                rebind(store, recorder, post, given[0])

        upkeep = pool.submit(look_after)
        workers = [pool.submit(work) for _ in range(AT_ONCE)]
        try:
            for worker in workers:
                worker.result()
        finally:
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
                    await asyncio.sleep(AGAIN)

        upkeep = asyncio.create_task(look_after())
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        upkeep.cancel()


def main() -> None:
    """Run with the arguments of this process."""
    settings, name, life, kind = sys.argv[1:]
    plan = json.loads(Path(settings).read_text())
    config = StoreConfig.model_validate({**plan["config"], "replica": name})
    recorder = Recorder(Path(settings).with_name(f"{name}.{life}.jsonl"), name)
    note_stalls(recorder)
    note_repetitions()
    messages = [(lane, message) for lane, message in plan["messages"][name]]
    post = Post(messages, plan["shared_id"], seed=f"{name} {life}")
    if kind == "tasks":
        asyncio.run(run_tasks(config, recorder, post))
    else:
        run_threads(config, recorder, post)


if __name__ == "__main__":
    main()
