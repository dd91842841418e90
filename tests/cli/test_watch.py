"""Events on the command line, and what the doctor says of groups that don't read theirs."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import pytest
import redis

from redisstore import SessionStore
from redisstore.doctor import Finding, examine
from tests.cli.material import KEY, STRANGE, Run, lines, source
from tests.cli.test_process import REDISSTORE

STREAM = "{redisstore}:events"


def test_what_there_is_is_shown_one_line_an_event(store: SessionStore, run: Run) -> None:
    store.get_or_create_session(source("42"))
    store.suspend_session(KEY)
    store.mark_resume_pending(store.get_or_create_session(source("43")).session_key, STRANGE)
    shown = run("watch", "--since", "oldest", "--idle-timeout", "0").stdout
    assert [line.split()[2] for line in shown.splitlines()] == [
        "created",
        "suspended",
        "created",
        "resume_pending",
    ]
    assert "\x1b" not in shown
    created, suspended, *_ = lines(
        run("watch", "--since", "oldest", "--idle-timeout", "0", "--json")
    )
    assert (created["kind"], created["session_key"]) == ("created", KEY)
    assert (suspended["reason"], suspended["session_keys"]) == ("asked", [KEY])
    assert created["id"] < suspended["id"]
    assert run("watch", "--idle-timeout", "0").stdout == ""


def test_a_wrong_beginning_is_wrong_usage(run: Run) -> None:
    for wrong in (("--since", "yesterday"), ("--idle-timeout", "-1")):
        result = run("watch", *wrong)
        assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_events_are_shown_as_they_come_until_it_is_interrupted(
    store: SessionStore, environment: dict[str, str], options: tuple[str, ...]
) -> None:
    store.get_or_create_session(source("42"))
    watching = subprocess.Popen(
        [*REDISSTORE, "watch", "--since", "oldest", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with watching:
        assert watching.stdout is not None
        assert "created" in watching.stdout.readline()
        store.suspend_session(KEY)
        line = watching.stdout.readline()
        assert json.loads(line)["kind"] == "suspended" if options else "suspended" in line
        watching.send_signal(signal.SIGINT)
        rest, complaints = watching.communicate()
    assert (watching.returncode, rest, complaints) == (0, "", "")


def test_the_doctor_names_a_group_that_is_late(store: SessionStore, client: redis.Redis) -> None:
    def finding() -> Finding:
        (found,) = [finding for finding in examine(store) if finding.check == "events"]
        return found

    store.get_or_create_session(source("42"))
    assert finding() == Finding("ok", "events", "groups that read them: 0, none is late")
    next(store.events(group="agents", consumer="slow", since="oldest"))
    assert finding() == Finding("ok", "events", "groups that read them: 1, none is late")

    server: Any = client
    (taken,) = server.xpending_range(STREAM, "agents", "-", "+", 1)
    eleven_minutes = 660_000
    server.xclaim(STREAM, "agents", "slow", 0, [taken["message_id"]], idle=eleven_minutes)
    assert finding().severity == "warning"
    assert "slow was given 1 events" in finding().message

    client.hset("{redisstore}:meta", "events", 100)
    for _ in range(60):
        store.get_or_create_session(source("42"), force_new=True)
    assert "60 events behind" in finding().message
    for _ in range(300):
        store.get_or_create_session(source("42"), force_new=True)
    assert (finding().severity, "trimmed away" in finding().message) == ("fault", True)
    for event in store.events(group="agents", consumer="slow", idle_timeout=0):
        assert event.kind in {"gap", "reset"}
    assert finding().severity == "ok"
