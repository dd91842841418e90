"""docker-compose.yml starts servers that `redisstore doctor` has nothing to say against."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from redisstore import SessionStore
from redisstore.doctor import examine
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


@pytest.mark.parametrize("backend", ["valkey-9.1", "redis-8.2"])
def test_the_doctor_finds_nothing_to_advise(backend: str) -> None:
    lines = [f"{name} {value}" for name, value in settings().items()]

    with Server(backend, lines=lines) as server, SessionStore.from_url(server.url()) as store:
        findings = list(examine(store))

    assert [finding for finding in findings if finding.severity != "ok" or finding.advice] == []
    assert settings()["appendonly"] == "yes"
    assert settings()["maxmemory-policy"] == "noeviction"
