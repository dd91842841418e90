"""The command line, and the doctor behind it, over a real server that is emptied for each test."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from typer.testing import CliRunner, Result

from redisstore import SessionStore
from redisstore.cli.app import app
from tests.cli.homes import ENABLED, configure, install
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

    def run(*args: str, url: str | None = None, answers: str | None = None) -> Result:
        environment = {"REDISSTORE_URL": url or server.url()}
        return CliRunner().invoke(app, args, env=environment, input=answers)

    return run


@pytest.fixture
def environment(server: Server) -> dict[str, str]:
    """What a process of its own has in its environment."""
    return {**os.environ, "REDISSTORE_URL": server.url(), "PYTHONUTF8": "1"}


@pytest.fixture
def home(
    tmp_path: Path, server: Server, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A home whose gateway uses the server of these tests, which is empty; no settings besides."""
    client.ping()
    for name in [name for name in os.environ if name.startswith(("REDISSTORE_", "HERMES_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    directory = tmp_path / "home"
    directory.mkdir()
    configure(directory, **ENABLED, redisstore={"url": server.url(), "replica": "one"})
    return directory


@pytest.fixture
def gateway_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the environment of a gateway has: its package, and a reader for YAML."""
    site = tmp_path / "site"
    install(site, "0.19.0")
    monkeypatch.syspath_prepend(str(site))
    # All YAML here is JSON.
    reader = SimpleNamespace(safe_load=json.loads, YAMLError=ValueError)
    monkeypatch.setitem(sys.modules, "yaml", reader)
    return site
