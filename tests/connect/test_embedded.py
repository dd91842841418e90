"""An embedded server is started by connecting, and revived after a crash."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from redis import exceptions as rx

from redisstore.connect import connect, connect_async
from redisstore.embedded import EmbeddedServer
from redisstore.errors import InvalidInput
from tests.connect.connections import close, config, eventually
from tests.embedded.servers import kill


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="embedded ") as base:
        try:
            yield Path(base) / "data"
        finally:
            EmbeddedServer(Path(base) / "data").stop()
            EmbeddedServer(Path(base) / "redisstore").stop()


async def test_an_embedded_server_is_started_and_revived(directory: Path) -> None:
    url = f"embedded://{quote(str(directory))}?appendfsync=everysec"
    made = connect(config(url))
    made_async = connect_async(config(url))
    client: Any = made.client
    async_client: Any = made_async.client
    assert made.label == f"embedded://{directory}"
    assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
    client.set("key", "value")
    assert await async_client.get("key") == b"value"
    kill(EmbeddedServer(directory))
    with pytest.raises(rx.ConnectionError):
        client.get("key")
    assert made.revive is not None
    made.revive(10.0)
    assert client.get("key") == b"value"
    assert made_async.revive is not None
    made_async.revive(10.0)
    assert await eventually(async_client, "key") == b"value"
    client.close()
    await async_client.aclose()


async def test_embedded_without_a_directory_uses_the_default(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(directory.parent))
    made = connect(config("embedded:"))
    assert made.client.ping()
    assert EmbeddedServer(directory.parent / "redisstore").is_running()
    await close(made)


def test_an_unknown_appendfsync_is_refused() -> None:
    with pytest.raises(InvalidInput, match="always"):
        connect(config("embedded:///nowhere?appendfsync=sometimes"))
