"""One server: hurt, configured, reached and observed."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError

from tests.servers import Backend, Server, ServerStartError


@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_appended_data_survive_the_process(server_binary: Backend, ending: str) -> None:
    with Server(server_binary, appendonly=True) as server:
        address, first = server.address, server.pid
        server.client().set("name", "kept")
        getattr(server, ending)()
        assert not server.running
        with pytest.raises(redis.ConnectionError):
            server.client().ping()
        server.start()
        assert server.address == address
        assert server.pid != first
        assert server.client().get("name") == b"kept"


def test_restart_without_persistence_forgets(server: Server) -> None:
    server.client().set("name", "lost")
    server.restart()
    assert server.client().get("name") is None


def test_paused_server_keeps_silent_and_goes_on(server: Server) -> None:
    client = server.client(socket_timeout=0.1)
    client.ping()
    with server.paused(), pytest.raises(redis.TimeoutError):
        client.ping()
    assert server.client().ping()


def test_paused_server_can_be_stopped(server: Server) -> None:
    server.pause()
    server.stop()
    assert not server.running


def test_directives_reach_the_server(server_binary: Backend, tmp_path: Path) -> None:
    rules = tmp_path / "users.acl"
    secret = f"{tmp_path.name}'\""
    rules.write_text(f"user default on >{secret} ~* &* +@all\nuser reader on nopass ~a:* +get\n")
    with Server(
        server_binary,
        maxmemory="64mb",
        aclfile=rules,
        client_output_buffer_limit=("normal", "32mb", 0, 0),
    ) as server:
        admin = server.client(password=secret)
        assert admin.config_get("maxmemory") == {"maxmemory": str(64 << 20)}
        with pytest.raises(NoPermissionError):
            server.client(username="reader", password=secret).get("b:1")


def test_wrong_directive_is_reported_with_the_log(server_binary: Backend) -> None:
    with pytest.raises(ServerStartError, match="no-such-directive"):
        Server(server_binary, no_such_directive=1).start()


def test_password_is_in_url_and_client(server_binary: Backend) -> None:
    with Server(server_binary, requirepass="a/b c") as server:
        assert server.client().ping()
        with redis.Redis.from_url(server.url(3)) as client:
            client.set("x", 1)
        assert server.info("keyspace")["db3"]["keys"] == 1


def test_unix_socket_serves_without_tcp(server_binary: Backend) -> None:
    with Server(server_binary, listen="unix", appendonly=True) as server:
        with redis.Redis.from_url(server.url(2)) as client:
            client.set("x", 1)
        server.restart()
        assert server.client(db=2).get("x") == b"1"
        with pytest.raises(RuntimeError, match="unix socket only"):
            _ = server.port


def test_both_ways_lead_to_the_same_data(server_binary: Backend) -> None:
    with Server(server_binary, listen="both") as server:
        server.client().set("x", 1)
        with redis.Redis.from_url(server.socket_url()) as client:
            assert client.get("x") == b"1"


def test_commandstats_count_calls_within_scripts(server: Server) -> None:
    client = server.client()
    client.ping()
    server.reset_commandstats()
    for _ in range(3):
        client.eval("return redis.call('INCR', KEYS[1])", 1, "n")
    stats = server.commandstats()
    assert (stats["eval"], stats["incr"]) == (3, 3)
