"""The Lua files on their own: their headers, their shared blocks, their examples."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from redisstore.fields import FIELDS
from redisstore.scripts import directory, library
from tests.commands import ASKED, ROOT, run_redis_cli, shell_lines
from tests.conftest import Sites
from tests.entries import key
from tests.script_calls import CALLS, KEY
from tests.servers import BACKEND_NAMES, missing
from tools.shared_blocks import expanded

SCRIPTS = sorted(directory().glob("*.lua"))
SCRIPTS_BY_NAME = {path.stem: path for path in SCRIPTS}
README = ROOT / "lua" / "README.md"
FENCE = "1763810553123000"
"""The fence that the examples name, of the turn that the example of a begin began."""
PRUNE = "redis-cli --eval lua/prune.lua '{redisstore}:' '{redisstore}:updated_at'"


def header(path: Path) -> list[str]:
    lines = path.read_text("utf-8").splitlines()[1:]
    return [line.removeprefix("--").strip() for line in _leading_comments(lines)]


def _leading_comments(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("--"):
            return
        yield line


def described(path: Path, what: str) -> list[str]:
    """Return the names that a header gives to KEYS or ARGV, in order."""
    found = [re.match(rf"{what}\[(\d+)\]\s+(.+?)\s{{2,}}\S", line) for line in header(path)]
    named = [match for match in found if match]
    assert [int(match[1]) for match in named] == list(range(1, len(named) + 1)), path.name
    return [match[2] for match in named]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_header_says_all_there_is_to_know(path: Path) -> None:
    assert path.read_text("utf-8").startswith("#!lua")
    lines = header(path)
    assert lines[0]
    for part in ("KEYS[1]", "Returns", "Errors", f"Example redis-cli --eval lua/{path.name}"):
        assert any(re.sub(" +", " ", line).startswith(part) for line in lines), part


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_header_agrees_with_the_call(path: Path) -> None:
    call = CALLS[path.stem]()
    assert call.script == path.stem
    assert len(call.keys) == len(described(path, "KEYS"))
    arguments = described(path, "ARGV")
    if arguments and arguments[-1] == "...":
        assert len(call.args) >= len(arguments) - 1
    else:
        assert len(call.args) == len(arguments)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_names_its_arguments_as_its_header_does(path: Path) -> None:
    code = path.read_text("utf-8").split("\n\n", 1)[1]
    for name in described(path, "ARGV"):
        if name != "...":
            assert re.search(rf"\b(local .*\b|override_){name}\b", code), name


def test_every_script_has_its_call() -> None:
    assert {path.stem for path in SCRIPTS} == set(CALLS) == set(library())


@pytest.mark.parametrize("name", CALLS)
def test_a_script_that_computes_names_of_keys_is_told_two(name: str) -> None:
    """One that no key has, and another: a slot that moves is waited for, nobody answers by half."""
    keys = CALLS[name]().keys
    if re.search(r"\bprefix \.\.", library()[name].text):
        assert len(keys) == 2
    if len(keys) > 1:
        assert re.fullmatch(r"\{redisstore[.\d]*\}:", keys[0])
        assert re.fullmatch(re.escape(keys[0]) + ".+", keys[1])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_shared_blocks_are_true_copies(path: Path) -> None:
    text = path.read_text("utf-8")
    assert expanded(text) == text


def test_an_import_knows_every_field() -> None:
    block = (directory() / "shared" / "known_fields.lua").read_text("utf-8")
    assert set(re.findall(r"'(\w+)'", block)) == set(FIELDS)


def test_the_schema_lists_every_field() -> None:
    text = README.read_text("utf-8")
    fields = text.partition("## Fields of an entry")[2].partition("## Reading")[0]
    assert set(FIELDS) <= set(re.findall(r"`(\w+)`", fields))


@pytest.fixture(params=BACKEND_NAMES)
def client(request: pytest.FixtureRequest, sites: Sites) -> Iterator[redis.Redis]:
    """A server with one session of the examples, its database emptied before and after."""
    with sites.server(request.param).client() as client:
        client.flushdb()
        store_example(client)
        yield client
        client.flushdb()


def store_example(client: redis.Redis) -> None:
    run_redis_cli(client, "redis-cli --eval lua/open_store.lua '{redisstore}:meta' , 1 '' 1 1")
    for script in ("get_or_create_session", "begin_turn", "read_group_events"):
        run_redis_cli(client, example(SCRIPTS_BY_NAME[script]))
    client.hset(f"{{redisstore}}:turn:{KEY}", "fence", FENCE)


def example(path: Path) -> str:
    line = next(line for line in header(path) if line.startswith("Example"))
    return line.removeprefix("Example").strip()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_runs_as_it_stands(path: Path, client: redis.Redis) -> None:
    assert run_redis_cli(client, example(path)) is not None


@pytest.mark.parametrize("line", shell_lines(README))
def test_an_operators_command_runs_as_it_stands(line: str, client: redis.Redis) -> None:
    if "$TOKEN" in line:
        (asked,) = (one for one in shell_lines(README) if ASKED.fullmatch(one))
        line = line.replace("$TOKEN", run_redis_cli(client, asked).decode())
    assert run_redis_cli(client, line) is not None


def test_a_turn_is_ended_by_hand_with_its_own_token(client: redis.Redis) -> None:
    asked, call = (line for line in shell_lines(README) if "TOKEN" in line)
    turn = f"{{redisstore}}:turn:{KEY}"
    client.hset(turn, "token", "gateway-1/5d41402a/7")
    token = run_redis_cli(client, asked).decode()
    assert run_redis_cli(client, call.replace("$TOKEN", token))[0] == b"revoked"
    assert not client.exists(turn)


def test_the_real_redis_cli_takes_the_same_lines(sites: Sites) -> None:
    """Where it is installed; CI has it."""
    if shutil.which("redis-cli") is None:
        missing("redis-cli is not installed; a client ran its command lines above")
    server = sites.server("valkey-9.1")
    with server.client() as client:
        client.flushdb()
        store_example(client)
        kept = ""
        for line in shell_lines(README):
            here = line.replace("redis-cli", f"redis-cli -p {server.port}", 1)
            if ASKED.fullmatch(line):
                kept = here
            done = subprocess.run(
                f"{kept}; {here}" if "$TOKEN" in line else here,
                shell=True,
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            )
            assert "ERR" not in done.stdout, line
            assert "CORRUPT" not in done.stdout, line
        client.flushdb()


def test_prune_by_hand_says_why_it_keeps(client: redis.Redis) -> None:
    run_redis_cli(
        client,
        f"redis-cli --eval lua/suspend_session.lua '{{redisstore}}:' '{{redisstore}}:entry:{KEY}'",
    )
    reply = run_redis_cli(client, f"{PRUNE} , 9999999999999 '' 100 0 1")
    assert dict(zip(reply[::2], reply[1::2], strict=True)) == {
        b"cutoff": b"9999999999999",
        b"more": b"0",
        b"skip": b"1",
        b"scanned": b"1",
        b"repaired": b"0",
        b"suspended": b"1",
        b"active": b"0",
        b"running": b"0",
        b"damaged": b"0",
        b"removed": [],
    }


@pytest.mark.parametrize("arguments", ["'' '' 100 0", "'' 0 100 0", "'' -5 100 0", "x '' 100 0"])
def test_prune_without_a_cutoff_removes_nothing(arguments: str, client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError, match="BADARG"):
        run_redis_cli(client, f"{PRUNE} , {arguments}")
    assert client.zcard("{redisstore}:updated_at") == 1


def test_the_key_of_an_example_is_that_of_a_source() -> None:
    assert key("42") == KEY
