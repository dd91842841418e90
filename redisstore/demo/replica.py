"""One gateway replica, a process of its own: ``python -m redisstore.demo.replica NAME KIND``.

It reads messages from its standard input until that ends, handles several at a time, each in a
turn, and writes to its standard output what the store answered. ``REDISSTORE_URL`` and
``REDISSTORE_NAMESPACE`` say which store (a password does not belong on a command line).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel

from redisstore.aio.store import AsyncSessionStore
from redisstore.aio.turn import AsyncTurn
from redisstore.config import StoreConfig
from redisstore.demo.settings import MESSAGES_AT_ONCE, store_config
from redisstore.demo.wire import Answered, Begun, Delivery, Failed, Ready, Refused
from redisstore.entry import SessionEntry
from redisstore.errors import DuplicateMessage, TurnBusy, TurnLost
from redisstore.sync.store import SessionStore
from redisstore.sync.turn import Turn


def report(line: BaseModel) -> None:
    """Tell the demo; one write, so that lines of several threads don't mix."""
    os.write(sys.stdout.fileno(), line.model_dump_json().encode() + b"\n")


def _begun(delivery: Delivery, turn: Turn | AsyncTurn) -> Begun:
    return Begun(
        delivery=delivery.number,
        session_key=turn.session_key,
        session_id=turn.entry.session_id,
        token=turn.token,
        fence=turn.fence,
        created=turn.created,
        resumed=turn.entry.resume_reason == "replica_lost",
        at=time.monotonic(),
    )


def _answered(delivery: Delivery, entry: SessionEntry, at: float) -> Answered:
    return Answered(delivery=delivery.number, session_id=entry.session_id, at=at)


def _not_answered(delivery: Delivery, error: Exception) -> Refused | Failed:
    match error:
        case DuplicateMessage():
            return Refused(delivery=delivery.number, why=error.state)
        case TurnBusy():
            return Refused(delivery=delivery.number, why="busy")
        case TurnLost():
            return Refused(delivery=delivery.number, why="lost")
        case _:
            return Failed(delivery=delivery.number, error=f"{type(error).__name__}: {error}")


def _handle(store: SessionStore, delivery: Delivery) -> None:
    message = delivery.message
    try:
        with store.turn(message.source, message_id=message.id) as turn:
            report(_begun(delivery, turn))
            time.sleep(message.thinking)
            at = time.monotonic()
            entry = turn.end(input_tokens=message.input_tokens, output_tokens=message.output_tokens)
        report(_answered(delivery, entry, at))
    except Exception as error:  # noqa: BLE001 - whatever it is, the demo is told
        report(_not_answered(delivery, error))


def _serve_with_threads(config: StoreConfig) -> None:
    with (
        SessionStore.from_url(config=config) as store,
        store.maintenance(),
        ThreadPoolExecutor(max_workers=MESSAGES_AT_ONCE) as pool,
    ):
        store.count_sessions()
        report(Ready())
        for line in sys.stdin.buffer:
            pool.submit(_handle, store, Delivery.model_validate_json(line))


async def _handle_async(
    store: AsyncSessionStore, delivery: Delivery, places: asyncio.Semaphore
) -> None:
    message = delivery.message
    async with places:
        try:
            async with store.turn(message.source, message_id=message.id) as turn:
                report(_begun(delivery, turn))
                await asyncio.sleep(message.thinking)
                at = time.monotonic()
                entry = await turn.end(
                    input_tokens=message.input_tokens, output_tokens=message.output_tokens
                )
            report(_answered(delivery, entry, at))
        except Exception as error:  # noqa: BLE001 - whatever it is, the demo is told
            report(_not_answered(delivery, error))


async def _serve_with_asyncio(config: StoreConfig) -> None:
    inbox = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(inbox), sys.stdin)
    places = asyncio.Semaphore(MESSAGES_AT_ONCE)
    async with (
        AsyncSessionStore.from_url(config=config) as store,
        store.maintenance(),
        asyncio.TaskGroup() as messages,
    ):
        await store.count_sessions()
        report(Ready())
        while line := await inbox.readline():
            delivery = Delivery.model_validate_json(line)
            messages.create_task(_handle_async(store, delivery, places))


def main() -> None:
    """Serve until the demo closes the pipe, or ends in whatever way."""
    name, kind = sys.argv[1:]
    # That turns are lost is what the demo is about; it tells of them itself.
    logging.getLogger("redisstore").setLevel(logging.ERROR)
    config = store_config(
        os.environ["REDISSTORE_URL"], os.environ["REDISSTORE_NAMESPACE"], replica=name
    )
    if kind == "asyncio":
        asyncio.run(_serve_with_asyncio(config))
    else:
        _serve_with_threads(config)


if __name__ == "__main__":
    main()
