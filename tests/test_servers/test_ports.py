"""Two test processes never pick the same port, and a stranger's is passed over."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.servers import HOST, Backend, Server, lease_port, return_port


def test_leased_port_is_not_leased_to_another_process(pytestconfig: pytest.Config) -> None:
    port = lease_port()
    script = f"""
from tests.servers import ports
ports._RANGE = range({port}, {port} + 1)
ports.lease_port()
"""
    try:
        other = subprocess.run(
            [sys.executable, "-c", script],
            cwd=pytestconfig.rootpath,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        return_port(port)
    assert "no free port" in other.stderr


def test_start_tries_another_port_when_a_stranger_is_faster(
    server_binary: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((HOST, 0)) as stranger:
        taken = stranger.getsockname()[1]
        offered = iter([taken, lease_port()])
        monkeypatch.setattr("tests.servers.single.lease_port", lambda: next(offered))
        with Server(server_binary) as server:
            assert server.port != taken
            assert server.client().ping()
