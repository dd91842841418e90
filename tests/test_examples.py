"""The programs in examples/ do what their README says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from redisstore import SessionStore
from tests.servers import Server, wait_until

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("valkey-9.1") as running:
        yield running


def run(server: Server, name: str, *arguments: str, typed: str = "", warned: str = "") -> list[str]:
    """Return the lines that an example prints; no warning must come, but what is expected."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, "--url", server.url(), *arguments],
        input=typed,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=ENVIRONMENT,
    )
    assert done.stderr == warned
    return done.stdout.splitlines()


def test_two_gateways_answer_one_person_in_one_session(server: Server) -> None:
    ready, first = run(server, "gateway.py", "--replica", "one", typed="ada: hello\n")
    _, second = run(server, "gateway.py", "--replica", "two", typed="ada: how are you\n")

    assert ready == "ready"
    session = re.search(r"HELLO!  \[session (\S+), 2 tokens so far\]", first)
    assert session
    assert f"HOW ARE YOU!  [session {session[1]}, 8 tokens so far]" in second


def test_a_message_that_comes_twice_is_answered_once(server: Server) -> None:
    _, first, again = run(server, "gateway.py", typed="ada/1: hello\nada/1: hello\n")
    _, later, next_one = run(
        server, "gateway.py", "--replica", "two", typed="ada/1: hello\nada/2: hello\n"
    )

    assert first.startswith("HELLO!")
    assert again == later == "no answer: message '1' is done already"
    assert "4 tokens so far" in next_one


def test_a_message_whose_gateway_was_killed_is_answered_by_another(server: Server) -> None:
    lease = {"REDISSTORE_TURN_LEASE_TTL": "1"}
    command = [
        sys.executable,
        str(EXAMPLES / "gateway.py"),
        "--url",
        server.url(),
        "--thinking",
        "600",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT, env=ENVIRONMENT | lease
    ) as victim:
        assert victim.stdin is not None
        victim.stdin.write(b"ada/1: hello\n")
        victim.stdin.flush()
        with SessionStore.from_url(server.url()) as store:
            wait_until(lambda: list(store.list_turns()), timeout=30, message="a turn")
            victim.kill()
            victim.wait()
            wait_until(lambda: next(store.list_turns()).lapsed, message="its lease to lapse")

    _, answer = run(
        server,
        "gateway.py",
        "--replica",
        "two",
        typed="ada/1: hello\n",
        warned="the turn of one on agent:main:terminal:dm:ada was lost, "
        "the session is resume_pending now\n",
    )

    assert answer.startswith("(I was interrupted) HELLO!")
    assert "2 tokens so far" in answer


def test_a_new_conversation_starts_when_it_is_asked_for(server: Server) -> None:
    _, before, new, after = run(server, "gateway.py", typed="ada: hi\nada: /new\nada: hi\n")

    old_id, new_id = before.split()[2].strip(","), new.split()[-1]
    assert old_id != new_id
    assert f"[session {new_id}, 2 tokens so far]" in after


def test_many_messages_at_once_reach_one_session_and_a_job_holds_it(server: Server) -> None:
    assert run(server, "async_gateway.py") == [
        "20 messages came twice, all at once: 20 were answered, 20 refused",
        "a prune of everything would keep 1 session that is held",
        "agent:main:telegram:dm:42 has counted 20 answers",
    ]


def test_the_readme_names_every_program() -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    for program in EXAMPLES.glob("*.py"):
        assert f"[{program.name}]({program.name})" in readme
    for target in re.findall(r"\]\(([^)]+)\)", readme):
        assert (EXAMPLES / target).exists(), target
