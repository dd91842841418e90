"""docker-compose.yml starts servers that `redisstore doctor` has nothing to say against."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError

from redisstore import SessionStore
from redisstore.doctor import examine
from tests.entries import source
from tests.pages import block, text_of
from tests.servers import Server

COMPOSE = Path(__file__).resolve().parent.parent / "docker-compose.yml"


def settings() -> dict[str, str]:
    """The options of the servers' command, which all of them share."""
    text = re.sub(r"^\s*#.*\n", "", COMPOSE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    command = re.search(r"command: &settings\n((?:      - .*\n)+)", text)
    assert command is not None
    words = [line.strip().removeprefix("- ").strip('"') for line in command[1].splitlines()]
    return {
        name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)
    }


def test_every_server_has_the_same_settings() -> None:
    text = COMPOSE.read_text(encoding="utf-8")

    assert len(re.findall(r"^    image: ", text, re.MULTILINE)) == len(
        re.findall(r"^    command: [&*]settings$", text, re.MULTILINE)
    )


def test_no_port_is_open_to_others() -> None:
    ports = re.findall(
        r'^      - "([^"]*:\d+)"$', COMPOSE.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def lines(users: Path) -> list[str]:
    """The settings for a server of the tests, whose file of users is elsewhere."""
    return [f"{name} {value}" for name, value in (settings() | {"aclfile": str(users)}).items()]


@pytest.mark.parametrize("backend", ["valkey-9.1", "redis-8.2"])
def test_the_doctor_finds_nothing_to_advise(backend: str, tmp_path: Path) -> None:
    users = tmp_path / "users.acl"
    users.touch()

    with (
        Server(backend, lines=lines(users)) as server,
        SessionStore.from_url(server.url()) as store,
    ):
        store.get_or_create_session(source("ada"))
        findings = list(examine(store))

    assert [finding for finding in findings if finding.severity != "ok" or finding.advice] == []
    assert settings()["appendonly"] == "yes"
    assert settings()["maxmemory-policy"] == "noeviction"


def test_the_file_of_users_is_there_before_the_server(tmp_path: Path) -> None:
    """And whatever the image is told arrives as it was."""
    (told,) = re.findall(r"entrypoint: &entrypoint (.*)", COMPOSE.read_text(encoding="utf-8"))
    words = json.loads(told.replace("$$", "$").replace("/data/", f"{tmp_path}/"))
    image = tmp_path / "docker-entrypoint.sh"
    image.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\n")
    image.chmod(0o755)
    options = ["--appendonly", "two words"]

    done = subprocess.run(
        [*words, *options],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "<--appendonly><two words>"
    assert (tmp_path / "users.acl").read_text() == ""
    assert settings()["aclfile"] == "/data/users.acl"


@pytest.mark.parametrize("backend", ["valkey-9.1", "redis-8.2"])
def test_it_is_closed_as_the_page_on_security_says(backend: str, tmp_path: Path) -> None:
    """The users of the page go into the server's file; they stay over a restart, as hashes."""
    told = block(text_of("security.md"), "acl") + block(text_of("operations.md"), "acl")
    passwords = dict(re.findall(r"^user (\w+) on >(\S+)", told, re.MULTILINE))
    users = tmp_path / "users.acl"
    users.touch()
    with Server(backend, lines=lines(users)) as server:
        assert server.ask("PING")
        users.write_text(told, encoding="utf-8")
        assert server.ask("ACL", "LOAD") in {b"OK", True}
        for _ in range(2):
            with pytest.raises(redis.AuthenticationError):
                server.ask("PING")
            with server.client(password=passwords["default"]) as admin:
                assert admin.ping()
                admin.acl_save()
            with server.client(username="gateway", password=passwords["gateway"]) as gateway:
                assert gateway.get("{redisstore}:fence") is None
                with pytest.raises(NoPermissionError):
                    gateway.config_get("maxmemory")
            server.restart()
    assert passwords["gateway"] not in users.read_text(encoding="utf-8")
