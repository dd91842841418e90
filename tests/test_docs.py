"""The documentation is run: every command, every Python block."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from redisstore import SessionStore, Turn, TurnLost
from redisstore.embedded import EmbeddedServer
from tests.commands import ROOT, run_redis_cli, shell_lines
from tests.conftest import Sites
from tests.entries import source

DOCUMENTS = [
    ROOT / "README.md",
    *(
        ROOT / "docs" / name
        for name in ("operations.md", "moving.md", "hermes.md", "runbook.md", "security.md")
    ),
]
SESSIONS = "redisstore/demo/sessions.json"
GATEWAY = ROOT / "tests" / "data" / "hermes-0.19"
EVERY_DOCUMENT = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])


@pytest.fixture
def shell(tmp_path: Path, sites: Sites) -> Iterator[dict[str, str]]:
    """A stranger's shell: ``redisstore`` on the path, a Redis, a gateway's files at hand."""
    command = tmp_path / "bin" / "redisstore"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m redisstore "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    sessions = tmp_path / SESSIONS
    sessions.parent.mkdir(parents=True)
    shutil.copy(ROOT / SESSIONS, sessions)
    home = tmp_path / ".hermes"
    (home / "sessions").mkdir(parents=True)
    shutil.copy(GATEWAY / "state.db", home)
    shutil.copy(GATEWAY / "sessions.json", home / "sessions")
    server = sites.server("valkey-9.1")
    with server.client(db=5) as client:
        client.flushdb()
        client.acl_setuser("gateway", passwords="+change-me")
        yield {
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "XDG_DATA_HOME": str(tmp_path / "data"),
            "REDISSTORE_URL": server.url(5),
            "NO_COLOR": "1",
        }
        client.flushdb()
        client.acl_deluser("gateway")
    EmbeddedServer(tmp_path / "data" / "redisstore").stop()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_of_a_document_works(
    document: Path, shell: dict[str, str], sites: Sites, tmp_path: Path
) -> None:
    """In the order in which it is written; later lines stand on earlier ones."""
    if document.name != "README.md":
        imported = f"redisstore import {SESSIONS} --timezone UTC"
        subprocess.run(imported, shell=True, cwd=tmp_path, env=shell, check=True)
        with SessionStore.from_url(shell["REDISSTORE_URL"]) as store:
            store.get_or_create_session(source("42"))
    ran = 0
    for line in shell_lines(document):
        if line.startswith("export "):
            name, _, value = shlex.split(line)[1].partition("=")
            shell.setdefault(name, value)
        elif line.startswith("make "):
            subprocess.run(line.replace("make", "make -n", 1), shell=True, cwd=ROOT, check=True)
        elif line in {"python3 -m venv .venv", ". .venv/bin/activate"}:
            assert "python -m pip install" in document.read_text("utf-8")
        elif "pip install" in line:
            assert set(re.findall(r"\[(\w+)\]", line)) <= set(extras())
        elif line.startswith("redis-cli "):
            with sites.server("valkey-9.1").client(db=5) as client:
                assert run_redis_cli(client, line) is not None
                client.config_set("maxmemory", 0)
        else:
            assert line.startswith("date ") or "redisstore " in line
            done = subprocess.run(
                line,
                shell=True,
                cwd=tmp_path,
                env=shell,
                capture_output=True,
                text=True,
                check=False,
            )
            # A server of the tests keeps nothing on disk: the doctor warns, and finds no fault.
            assert done.returncode == 0, (line, done.stdout, done.stderr)
        ran += 1
    assert ran >= 6


def test_a_session_that_is_stuck_is_free_by_each_way_that_is_told(
    shell: dict[str, str], sites: Sites, tmp_path: Path
) -> None:
    """Each command meets a turn that hangs; a token goes from one line to the next."""
    told = [line for line in shell_lines(ROOT / "docs" / "turns.md") if "TOKEN" not in line]
    by_hand = [line for line in shell_lines(ROOT / "docs" / "turns.md") if "TOKEN" in line]
    revoked = 0
    with (
        sites.server("valkey-9.1").client(db=5) as client,
        SessionStore.from_url(shell["REDISSTORE_URL"]) as store,
    ):
        turn = hanging(store, 0)
        for line in told:
            if line.startswith("redis-cli "):
                assert run_redis_cli(client, line)
                continue
            subprocess.run(
                line, shell=True, cwd=tmp_path, env=shell, check=True, text=True, input="y\n"
            )
            if "revoke-turn" in line:
                revoked += 1
                with pytest.raises(TurnLost):
                    turn.end()
                turn = hanging(store, revoked)
        asked, call = by_hand
        token = run_redis_cli(client, asked).decode()
        assert run_redis_cli(client, call.replace("$TOKEN", token))[0] == b"revoked"
        with pytest.raises(TurnLost):
            turn.end()
    assert revoked == 2


def hanging(store: SessionStore, number: int) -> Turn:
    turn = store.turn(source("42"), f"m-{number}", 0)
    return turn.__enter__()


def extras() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, list[str]] = project["optional-dependencies"]
    return found


def test_the_python_of_the_readme_runs(
    shell: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", shell["XDG_DATA_HOME"])
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 - what a reader would do
    assert "PruneReport" in capsys.readouterr().out


@pytest.mark.parametrize("document", EVERY_DOCUMENT, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target
