"""A server's way from start to stop, to crash, and back with its data."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from redisstore.errors import StoreUnavailable
from tests.embedded.servers import Servers, client_of, kill


def test_it_starts_answers_and_stops(servers: Servers) -> None:
    server = servers()
    assert not server.is_running()
    assert server.pid() is None
    server.ensure_running()
    with client_of(server) as client:
        assert client.ping()
        assert client.info("server")["process_id"] == server.pid()
    assert server.is_running()
    assert server.stop() is True
    assert not server.is_running()
    assert server.pid() is None
    assert server.stop() is False


def test_making_the_object_touches_nothing(servers: Servers) -> None:
    server = servers("never")
    assert not server.is_running()
    assert server.stop() is False
    assert not server.directory.exists()


def test_data_survives_stop_and_kill(servers: Servers) -> None:
    server = servers()
    for round_ in range(3):
        server.ensure_running()
        with client_of(server) as client:
            assert client.llen("rounds") == round_
            client.rpush("rounds", round_)
        if round_ % 2:
            server.stop()
        else:
            kill(server)
    server.ensure_running()
    with client_of(server) as client:
        assert client.lrange("rounds", 0, -1) == ["0", "1", "2"]


def test_a_server_shut_down_by_command_is_started_again(servers: Servers) -> None:
    server = servers()
    server.ensure_running()
    with client_of(server) as client:
        client.set("key", "value")
        client.shutdown()
    server.ensure_running()
    with client_of(server) as client:
        assert client.get("key") == "value"


def test_a_frozen_server_is_told_and_not_doubled(servers: Servers) -> None:
    server = servers()
    server.ensure_running()
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match=f"pid {pid}.*does not answer"):
            server.ensure_running(timeout=0.3)
        with pytest.raises(StoreUnavailable, match="did not shut down in time"):
            server.stop(timeout=0.3)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_stranger_behind_a_stale_socket_is_not_needed(servers: Servers) -> None:
    server = servers()
    server.directory.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(server.socket_path))
    server.ensure_running()
    assert server.is_running()


def test_an_overgrown_log_is_cut(servers: Servers) -> None:
    server = servers()
    server.ensure_running()
    server.stop()
    log = server.directory / "server.log"
    log.write_bytes(b"x" * 5_000_000 + b"\nthe last line\n")
    server.ensure_running()
    assert log.stat().st_size < 100_000
    assert "the last line" in log.read_text()
