"""The programs in examples/ do what their README says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("valkey-9.1") as running:
        yield running


def run(server: Server, name: str, *arguments: str, typed: str = "") -> list[str]:
    """Return the lines that an example prints."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, "--url", server.url(), *arguments],
        input=typed,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_two_gateways_answer_one_person_in_one_session(server: Server) -> None:
    ready, first = run(server, "gateway.py", "--replica", "one", typed="ada: hello\n")
    _, second = run(server, "gateway.py", "--replica", "two", typed="ada: how are you\n")

    assert ready == "ready; 0 sessions were interrupted"
    session = re.search(r"HELLO!  \[session (\S+), 2 tokens so far\]", first)
    assert session
    assert f"HOW ARE YOU!  [session {session[1]}, 8 tokens so far]" in second


def test_a_gateway_that_starts_anew_marks_its_own_sessions(server: Server) -> None:
    run(server, "gateway.py", "--replica", "one", typed="ada: hello\nbo: hello\n")

    assert run(server, "gateway.py", "--replica", "two") == ["ready; 0 sessions were interrupted"]
    assert run(server, "gateway.py", "--replica", "one") == ["ready; 2 sessions were interrupted"]


def test_a_new_conversation_starts_when_it_is_asked_for(server: Server) -> None:
    _, before, new, after = run(server, "gateway.py", typed="ada: hi\nada: /new\nada: hi\n")

    old_id, new_id = before.split()[2].strip(","), new.split()[-1]
    assert old_id != new_id
    assert f"[session {new_id}, 2 tokens so far]" in after


def test_many_messages_at_once_reach_one_session_and_a_job_holds_it(server: Server) -> None:
    assert run(server, "async_gateway.py") == [
        "20 messages at once reached 1 session",
        "a prune of everything would keep 1 session that is held",
        "agent:main:telegram:dm:42 has counted 20 answers",
    ]


def test_the_readme_names_every_program() -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    for program in EXAMPLES.glob("*.py"):
        assert f"[{program.name}]({program.name})" in readme
    for target in re.findall(r"\]\(([^)]+)\)", readme):
        assert (EXAMPLES / target).exists(), target
