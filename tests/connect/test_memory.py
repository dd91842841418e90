"""The store in this process: private without a name, shared with one."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from redisstore.connect import connect, connect_async
from redisstore.errors import InvalidInput
from tests.connect.connections import close, config
from tests.connect.crowd import check_that_tasks_wait, check_that_threads_wait


async def test_memory_is_private_without_a_name() -> None:
    one, other = connect(config("memory:")), connect(config("memory://"))
    assert one.imitated
    assert not one.clustered
    one.client.set("key", "value")
    assert other.client.get("key") is None
    await close(one)
    await close(other)


async def test_memory_with_a_name_is_shared() -> None:
    made = connect(config("memory://shared", max_connections=2))
    made_async = connect_async(config("memory://shared", max_connections=2))
    client: Any = made.client
    async_client: Any = made_async.client
    client.set("key", "value")
    assert await async_client.get("key") == b"value"
    assert await async_client.eval("return redis.call('GET', KEYS[1])", 1, "key") == b"value"
    assert connect(config("memory://other")).client.get("key") is None
    check_that_threads_wait(client)
    await check_that_tasks_wait(async_client)
    client.close()
    await async_client.aclose()


@pytest.mark.parametrize("missing", ["fakeredis", "lupa"])
def test_memory_without_its_extra_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InvalidInput, match=r"pip install 'redisstore\[memory\]'"):
        connect(config("memory:"))
    with pytest.raises(InvalidInput, match=r"pip install 'redisstore\[memory\]'"):
        connect_async(config("memory:"))
