"""One server for all processes and threads that name a directory, whoever of them started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.embedded.servers import Servers, client_of, kill

START = "from pathlib import Path; from redisstore.embedded import EmbeddedServer; "


def test_eight_processes_start_one_server(servers: Servers) -> None:
    server = servers()
    assert len(set(start_from_processes(server.directory, 8))) == 1
    if Path("/proc").exists():
        assert server_pids(server.directory) == [server.pid()]


def test_eight_processes_revive_one_server_after_a_crash(servers: Servers) -> None:
    server = servers()
    server.ensure_running()
    with client_of(server) as client:
        client.set("kept", "yes")
    crashed = server.pid()
    kill(server)
    assert server.socket_path.exists(), "the stale socket is what has to be coped with"
    revived = set(start_from_processes(server.directory, 8))
    assert len(revived) == 1
    assert crashed not in revived
    if Path("/proc").exists():
        assert server_pids(server.directory) == [server.pid()]
    with client_of(server) as client:
        assert client.get("kept") == "yes"


def start_from_processes(directory: Path, count: int) -> list[int]:
    """Let so many processes start the server at once; return the server each of them found."""
    code = (
        START + f"s = EmbeddedServer(Path({str(directory)!r})); input(); "
        "s.ensure_running(30); print(s.pid())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        pids = [int(process.communicate(timeout=60)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [process.returncode for process in processes] == [0] * count
    return pids


def server_pids(directory: Path) -> list[int]:
    """All server processes that run in a directory, asked of the kernel."""
    found = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    pids = [int(row.split()[0]) for row in found.stdout.splitlines() if "server.sock" in row]
    return [pid for pid in pids if Path(f"/proc/{pid}/cwd").resolve() == directory.resolve()]


def test_threads_of_one_process_start_one_server(servers: Servers) -> None:
    server = servers()
    pids: list[int | None] = []

    def start() -> None:
        server.ensure_running()
        pids.append(server.pid())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 8
    assert len(set(pids)) == 1


def test_the_death_of_who_started_it_is_no_matter(servers: Servers) -> None:
    server = servers()
    code = START + f"EmbeddedServer(Path({str(server.directory)!r})).ensure_running(); "
    starter = subprocess.Popen(
        [sys.executable, "-c", code + "print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        pid = server.pid()
        # The whole process group, as Ctrl-C in its terminal would; then without mercy.
        os.killpg(starter.pid, signal.SIGINT)
        os.killpg(starter.pid, signal.SIGKILL)
    finally:
        starter.kill()
        starter.communicate()
    with client_of(server) as client:
        assert client.ping()
    assert server.pid() == pid is not None


def test_a_child_that_is_forked_meanwhile_keeps_nothing_of_the_start(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers()
    children: list[int] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            children.append(os.fork())
            if children[-1] == 0:
                signal.pause()

    monkeypatch.setattr(subprocess, "Popen", Popen)
    try:
        server.ensure_running()
        kill(server)  # and it is seen to have ended
        assert len(children) == 1
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_it_is_detached_from_who_started_it(servers: Servers) -> None:
    server = servers()
    server.ensure_running()
    pid = server.pid()
    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)
    if Path("/proc").exists():
        for descriptor in (0, 1, 2):
            assert Path(f"/proc/{pid}/fd/{descriptor}").readlink() == Path("/dev/null")
