"""Neither a process nor a directory is left behind, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Backend, Server, wait_until


def test_nothing_is_left_after_a_block(server_binary: Backend) -> None:
    with Server(server_binary) as server:
        pid, directory = server.pid, server.directory
        assert is_alive(pid)
    assert not is_alive(pid)
    assert not directory.exists()
    server.close()


def test_nothing_is_left_after_an_interrupt(server_binary: Backend) -> None:
    def interrupted() -> None:
        with server:
            seen.update(pid=server.pid, directory=server.directory)
            raise KeyboardInterrupt

    server, seen = Server(server_binary), dict[str, Any]()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not is_alive(seen["pid"])
    assert not seen["directory"].exists()


@pytest.mark.parametrize("ending", ["exit", "SIGKILL"])
def test_nothing_is_left_of_a_run_that_did_not_clean_up(
    server_binary: Backend, pytestconfig: pytest.Config, ending: str
) -> None:
    script = f"""
import sys
from tests.servers import Server
server = Server({server_binary.name!r}).start()
print(server.pid, server.directory, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=pytestconfig.rootpath,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        pid, directory = run.stdout.readline().split()
        assert is_alive(int(pid))
        if ending == "SIGKILL":
            os.kill(run.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(int(pid)), message="the server to be killed")
    wait_until(lambda: not Path(directory).exists(), message="its directory to be removed")


def is_alive(pid: int) -> bool:
    answer = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() not in {"", "Z", "Zs"}
