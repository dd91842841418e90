"""A cancellation that the client library has swallowed gets through all the same."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio.connection import AbstractConnection

from redisstore import AsyncSessionStore, SessionStore, StoreConfig
from redisstore.connect.cancellation import heeding, interruptible
from tests.conftest import Sites
from tests.entries import key, source
from tests.servers import BACKEND_NAMES, wait_until

FOR_EVER = 3600.0


async def deaf(seconds: float) -> str:
    """Go on when cancelled, as ``asyncio.wait_for`` does now and then before Python 3.12."""
    try:
        await asyncio.sleep(FOR_EVER)
    except asyncio.CancelledError:
        await asyncio.sleep(seconds)
    return "done"


async def cancelled_soon(task: asyncio.Task[str]) -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_went_on_is_cancelled_when_it_is_done() -> None:
    await cancelled_soon(asyncio.create_task(heeding(deaf(0))))
    assert await heeding(asyncio.sleep(0, "done")) == "done"


async def test_a_call_in_the_clean_up_of_a_cancelled_task_is_made() -> None:
    answers = []

    async def clean_up() -> str:
        try:
            await asyncio.sleep(FOR_EVER)
        finally:
            answers.append(await heeding(asyncio.sleep(0, "made")))
        return "not reached"

    await cancelled_soon(asyncio.create_task(clean_up()))
    assert answers == ["made"]


async def test_a_wait_that_went_on_is_cancelled_at_once() -> None:
    began = time.monotonic()
    await cancelled_soon(asyncio.create_task(interruptible(deaf(FOR_EVER), FOR_EVER)))
    with pytest.raises(TimeoutError):
        await interruptible(deaf(FOR_EVER), 0.01)
    assert time.monotonic() - began < FOR_EVER
    assert len(asyncio.all_tasks()) == 1


async def test_a_wait_tells_what_became_of_it() -> None:
    async def failing() -> str:
        raise ConnectionError("lost")

    assert await interruptible(asyncio.sleep(0, "done"), FOR_EVER) == "done"
    with pytest.raises(ConnectionError, match="lost"):
        await interruptible(failing(), FOR_EVER)


@pytest.mark.parametrize("backend", BACKEND_NAMES)
async def test_a_turn_that_is_cancelled_while_its_wait_is_sent_leaves_the_line(
    backend: str, sites: Sites, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StoreConfig(url=sites.get(backend).url, namespace=namespace, replica="gateway")
    sends = AbstractConnection.send_packed_command

    async def send_and_be_cancelled(
        connection: AbstractConnection, command: list[bytes], check_health: bool = True
    ) -> None:
        await sends(connection, command, check_health)
        if b"BLPOP" in b"".join(command):
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(0)

    async def wait_in_line() -> str:
        async with store.turn(source("ada"), "m-2"):
            return "not reached"

    with SessionStore.from_url(config=config) as other:
        async with AsyncSessionStore.from_url(config=config) as store, store.turn(source("ada")):
            monkeypatch.setattr(AbstractConnection, "send_packed_command", send_and_be_cancelled)
            waiting = asyncio.create_task(wait_in_line())
            async with asyncio.timeout(20):  # less than it would have waited
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            monkeypatch.undo()
        wait_until(lambda: list(other.list_turns()) == [])
        assert other.get_session(key("ada")) is not None
        assert list(other.audit()) == []
