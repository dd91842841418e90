"""Which directories do, however they are spelled, and which are refused and left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from redisstore.embedded import EmbeddedServer, default_directory
from redisstore.errors import InvalidInput, StoreUnavailable
from tests.embedded.servers import Servers, client_of, kill


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


def test_a_stranger_s_directory_is_refused(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers()
    server.directory.mkdir(mode=0o700)
    stranger, me = 65534, os.geteuid()
    if me == 0:
        os.chown(server.directory, stranger, stranger)
    else:  # only root can give a directory away: be somebody else instead
        monkeypatch.setattr(os, "geteuid", lambda: stranger if me != stranger else me - 1)
    with pytest.raises(InvalidInput, match="belongs to another user"):
        server.ensure_running()


def test_a_file_is_no_directory(servers: Servers) -> None:
    (servers.base / "data").touch()
    with pytest.raises(InvalidInput, match="not a directory"):
        servers().ensure_running()
    with pytest.raises(StoreUnavailable, match="File exists"):
        servers("data/below").ensure_running()


def test_the_default_directory_honours_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert default_directory() == Path("/somewhere/redisstore")
    monkeypatch.setenv("HOME", "/home/somebody")
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_DATA_HOME", unusable)
        assert default_directory() == Path("/home/somebody/.local/share/redisstore")
