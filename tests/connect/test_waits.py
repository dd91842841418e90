"""How waits block, on a server and on its imitation."""

from __future__ import annotations

import asyncio
import threading

import pytest

from redisstore import StoreConfig
from redisstore.connect import AsyncWaits, Waits, connect, connect_async
from tests.conftest import Sites

KEY = "{redisstore}:wake:nobody"
HOUR = 3600.0
AN_INSTANT = 0.0001
"""Less than BLPOP can tell from 0, which is for ever."""


@pytest.fixture(params=["memory:", "valkey-9.1"])
def config(request: pytest.FixtureRequest, sites: Sites) -> StoreConfig:
    url = request.param if request.param == "memory:" else sites.server(request.param).url()
    return StoreConfig(url=url)


def test_a_thread_that_waits_for_an_instant_goes_on(config: StoreConfig) -> None:
    connection = connect(config)
    waits = Waits(connection, slack=HOUR)
    waiting = threading.Thread(target=waits.wait, args=(KEY, AN_INSTANT), daemon=True)
    waiting.start()
    waiting.join(20)
    assert not waiting.is_alive()
    waits.close()
    connection.held.close()


async def test_a_task_that_waits_for_an_instant_goes_on(config: StoreConfig) -> None:
    connection = connect_async(config)
    waits = AsyncWaits(connection, slack=HOUR)
    async with asyncio.timeout(20):
        await waits.wait(KEY, AN_INSTANT)
    await waits.close()
    await connection.client.aclose()
