"""Options, errors, and the command line as a process among others."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from redisstore import SessionStore
from redisstore.cli.app import app
from tests.cli.material import KEY, Run, lines, source
from tests.servers import Server

REDISSTORE = [sys.executable, "-m", "redisstore"]


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Yield a terminal: the end of who looks at it, and the end of who writes to it."""
    looking, writing = pty.openpty()
    try:
        yield looking, writing
    finally:
        os.close(looking)
        os.close(writing)


def test_global_options_stand_before_or_behind_the_command(server: Server, run: Run) -> None:
    with SessionStore.from_url(server.url(), namespace="elsewhere") as store:
        store.get_or_create_session(source("42"))
    options = ("--url", server.url(), "--namespace", "elsewhere", "--json")
    before, behind = run(*options, "list", url="memory:"), run("list", *options, url="memory:")
    assert lines(before) == lines(behind) != []


@pytest.mark.parametrize("options", [("--namespace", "n"), ("--json",)])
def test_a_global_option_that_a_command_has_no_use_for_is_wrong_usage(
    run: Run, options: tuple[str, ...]
) -> None:
    result = run(*options, "demo")
    assert result.exit_code == 2
    assert f"{options[0]} does not apply to demo" in result.stderr


@pytest.mark.parametrize("options", [("--namespace", ""), ("--url", ""), ("--namespace=",)])
@pytest.mark.parametrize("behind", [False, True])
def test_an_empty_option_is_refused_and_does_not_mean_the_default(
    run: Run, options: tuple[str, ...], behind: bool
) -> None:
    result = run("list", *options) if behind else run(*options, "list")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"redisstore: {options[0].strip('-=')}: ")
    assert run(*options, "demo").exit_code == 2


@pytest.mark.parametrize("args", [("-h",), ("list", "-h"), ("server", "start", "-h")])
def test_help_is_there_for_h(run: Run, args: tuple[str, ...]) -> None:
    result = run(*args)
    assert result.exit_code == 0
    assert "Usage" in result.stdout


CHOICES = [
    (("list",), "--only", ("suspended", "resume_pending", "active")),
    (("watch",), "--since", ("now", "oldest")),
    (("server", "start"), "--appendfsync", ("always", "everysec", "no")),
]


@pytest.mark.parametrize(("command", "option", "words"), CHOICES)
def test_an_option_tells_which_words_it_takes_and_refuses_others(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    option: str,
    words: tuple[str, ...],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # a narrow terminal folds them
    told = run(*command, "-h").stdout
    wrong = run(*command, option, words[0].upper())
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert all(word in told and word in wrong.stderr for word in words)


@pytest.mark.parametrize(
    "args",
    [
        ("lst",),
        ("list", "--limit", "0"),
        ("list", "--url", "http://x"),
        ("--namespace", "{", "list"),
        ("show", "k" * 2000),
    ],
)
def test_wrong_usage_has_status_2(run: Run, args: tuple[str, ...]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr != ""


@pytest.mark.parametrize("command", ["list", "stats", "doctor", "prune"])
def test_a_server_that_is_away_is_one_line_without_the_password(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("REDISSTORE_DEADLINE", "0.1")
    result = run(command, "--json", url="redis://me:sesame@127.0.0.1:1/0")
    assert result.exit_code == 3
    # The doctor says how far it got.
    assert bool(result.stdout) == (command == "doctor")
    assert result.stderr.count("\n") == 1
    assert "127.0.0.1:1" in result.stderr
    assert "sesame" not in result.stderr


def test_a_wrong_password_is_one_line_and_not_shown() -> None:
    with Server("valkey-9.1", listen="unix", requirepass="right") as locked:
        url = locked.socket_url().replace(":right@", ":sesame@")
        result = CliRunner().invoke(app, ["list", "--url", url])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "sesame" not in result.stderr


def test_it_runs_as_a_module_and_ends_with_its_status(
    store: SessionStore, environment: dict[str, str]
) -> None:
    store.get_or_create_session(source("42"))

    def process(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*REDISSTORE, *args], env=environment, capture_output=True, text=True, check=False
        )

    listed = process("list", "--json")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert json.loads(listed.stdout)["session_key"] == KEY
    unknown = process("show", "nobody")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert process("prune", "--before", "2026-08-24").returncode == 2


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_that_leaves_early_is_no_error(
    store: SessionStore, environment: dict[str, str], options: tuple[str, ...]
) -> None:
    store.get_or_create_session(source("42"))
    read_end, write_end = os.pipe()
    os.close(read_end)
    ended = subprocess.run(
        [*REDISSTORE, "list", *options],
        env=environment,
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write_end)
    assert ended.stderr == b""


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_colours_unless_it_wants_none(
    store: SessionStore, environment: dict[str, str], *, no_color: bool
) -> None:
    store.get_or_create_session(source("42"))
    environment |= {"TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if no_color else {})
    with terminal() as (looking, writing):
        subprocess.run([*REDISSTORE, "doctor"], env=environment, stdout=writing, check=True)
        printed = os.read(looking, 10_000)
    assert b"Valkey" in printed
    assert (b"\x1b[32m" in printed) != no_color


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_progress_is_for_people_at_a_terminal_and_never_on_stdout(
    store: SessionStore, environment: dict[str, str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    store.get_or_create_session(source("42"))
    export = ["export", str(tmp_path / "sessions.json"), "--timezone", "UTC", *options]
    environment |= {"TERM": "xterm-256color"}
    with terminal() as (looking, writing):
        ended = subprocess.run(
            [*REDISSTORE, *export],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=writing,
            check=True,
        )
        os.write(writing, b"end\n")
        printed = os.read(looking, 10_000)
    assert (b"exporting" in printed) == (not options)
    assert b"exporting" not in ended.stdout


def test_without_its_packages_it_names_the_extra(environment: dict[str, str]) -> None:
    without = "import sys; sys.modules['typer'] = None; from redisstore.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", without],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "pip install 'redisstore[cli]'" in ended.stderr
