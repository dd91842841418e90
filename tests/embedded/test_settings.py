"""How a server is set: durable and private, and never laxer than somebody asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from redisstore.embedded import EmbeddedServer
from redisstore.errors import InvalidInput
from tests.embedded.servers import Servers, client_of


def test_it_is_durable_private_and_never_evicts(servers: Servers) -> None:
    server = servers()
    server.ensure_running()
    with client_of(server) as client:
        settings = client.config_get("*")
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["save"] == ""
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["port"] == "0"
    assert server.directory.stat().st_mode & 0o777 == 0o700
    assert server.socket_path.stat().st_mode & 0o777 == 0o700
    assert "Ready to accept connections" in (server.directory / "server.log").read_text()


def test_a_running_server_is_made_stricter_never_laxer(servers: Servers) -> None:
    def synced() -> str:
        with client_of(server) as client:
            return str(client.config_get("appendfsync")["appendfsync"])

    server = servers(appendfsync="everysec")
    server.ensure_running()
    assert synced() == "everysec"
    servers().ensure_running()
    assert synced() == "everysec"
    servers(appendfsync="no").ensure_running()
    assert synced() == "everysec"
    servers(appendfsync="always").ensure_running()
    assert synced() == "always"
    server.ensure_running()
    assert synced() == "always"


def test_an_unknown_appendfsync_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="always"):
        EmbeddedServer(tmp_path, appendfsync="sometimes")
