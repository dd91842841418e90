"""One gateway replica, a process of its own: ``python -m redisstore.demo.replica NAME KIND``.

It reads messages from its standard input until that ends, handles several at a time, and writes
to its standard output what the store answered. ``REDISSTORE_URL`` and ``REDISSTORE_NAMESPACE``
say which store (a password does not belong on a command line).
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel

from redisstore.aio.store import AsyncSessionStore
from redisstore.config import StoreConfig
from redisstore.demo.settings import MESSAGES_AT_ONCE, store_config
from redisstore.demo.wire import Answered, Begun, Failed, Message, Ready
from redisstore.entry import SessionEntry
from redisstore.sync.store import SessionStore


def report(line: BaseModel) -> None:
    """Tell the demo; one write, so that lines of several threads don't mix."""
    os.write(sys.stdout.fileno(), line.model_dump_json().encode() + b"\n")


def _begun(message: Message, entry: SessionEntry) -> Begun:
    return Begun(
        number=message.number,
        session_key=entry.session_key,
        session_id=entry.session_id,
        created=entry.version == 1,
    )


def _outcome(message: Message, entry: SessionEntry | None) -> Answered | Failed:
    if entry is None:
        return Failed(number=message.number, error="its session was gone when the answer was ready")
    return Answered(number=message.number, session_id=entry.session_id)


def _handle(store: SessionStore, message: Message) -> None:
    try:
        entry = store.get_or_create_session(message.source)
        report(_begun(message, entry))
        time.sleep(message.thinking)
        updated = store.update_session(
            entry.session_key,
            input_tokens=message.input_tokens,
            output_tokens=message.output_tokens,
        )
        report(_outcome(message, updated))
    except Exception as error:  # noqa: BLE001 - whatever it is, the demo is told
        report(Failed(number=message.number, error=f"{type(error).__name__}: {error}"))


def _serve_with_threads(config: StoreConfig) -> None:
    with (
        SessionStore.from_url(config=config) as store,
        ThreadPoolExecutor(max_workers=MESSAGES_AT_ONCE) as pool,
    ):
        report(Ready(marked=store.suspend_recently_active()))
        for line in sys.stdin.buffer:
            pool.submit(_handle, store, Message.model_validate_json(line))


async def _handle_async(
    store: AsyncSessionStore, message: Message, places: asyncio.Semaphore
) -> None:
    async with places:
        try:
            entry = await store.get_or_create_session(message.source)
            report(_begun(message, entry))
            await asyncio.sleep(message.thinking)
            updated = await store.update_session(
                entry.session_key,
                input_tokens=message.input_tokens,
                output_tokens=message.output_tokens,
            )
            report(_outcome(message, updated))
        except Exception as error:  # noqa: BLE001 - whatever it is, the demo is told
            report(Failed(number=message.number, error=f"{type(error).__name__}: {error}"))


async def _serve_with_asyncio(config: StoreConfig) -> None:
    inbox = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(inbox), sys.stdin)
    places = asyncio.Semaphore(MESSAGES_AT_ONCE)
    async with AsyncSessionStore.from_url(config=config) as store, asyncio.TaskGroup() as tasks:
        report(Ready(marked=await store.suspend_recently_active()))
        while line := await inbox.readline():
            tasks.create_task(_handle_async(store, Message.model_validate_json(line), places))


def main() -> None:
    """Serve until the demo closes the pipe, or ends in whatever way."""
    name, kind = sys.argv[1:]
    config = store_config(
        os.environ["REDISSTORE_URL"], os.environ["REDISSTORE_NAMESPACE"], replica=name
    )
    if kind == "asyncio":
        asyncio.run(_serve_with_asyncio(config))
    else:
        _serve_with_threads(config)


if __name__ == "__main__":
    main()
