"""The command line, and the doctor behind it, over a real server that is emptied for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis
from typer.testing import CliRunner, Result

from redisstore import SessionStore
from redisstore.cli.app import app
from tests.cli.material import Run
from tests.servers import Server


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    with Server("valkey-9.1", listen="unix", appendonly=True) as running:
        yield running


@pytest.fixture
def client(server: Server) -> redis.Redis:
    client = server.client()
    client.flushall()
    return client


@pytest.fixture
def store(server: Server, client: redis.Redis) -> Iterator[SessionStore]:
    client.ping()
    with SessionStore.from_url(server.url()) as opened:
        yield opened


@pytest.fixture
def run(server: Server, client: redis.Redis) -> Run:
    client.ping()

    def run(*args: str, url: str | None = None) -> Result:
        return CliRunner().invoke(app, args, env={"REDISSTORE_URL": url or server.url()})

    return run


@pytest.fixture
def environment(server: Server) -> dict[str, str]:
    """What a process of its own has in its environment."""
    return {**os.environ, "REDISSTORE_URL": server.url(), "PYTHONUTF8": "1"}
