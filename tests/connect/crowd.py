"""More callers than connections: they wait for one another, and none is refused."""

from __future__ import annotations

import asyncio
import threading

from redis import exceptions as rx

from redisstore.connect import AsyncClient, SyncClient


def check_that_threads_wait(client: SyncClient) -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(20):
                client.get("key")
        except rx.RedisError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


async def check_that_tasks_wait(client: AsyncClient) -> None:
    await asyncio.gather(*(client.get("key") for _ in range(200)))
