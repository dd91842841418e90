"""Listing, showing and changing sessions, whatever they are called."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from redisstore import SessionKey, SessionStore
from redisstore.cli.by_hand import shell_line
from redisstore.cli.output import escaped
from tests.cli.material import KEY, LONG_AGO, STRANGE, Run, document, lines, put, source
from tests.cli.test_process import REDISSTORE
from tests.servers import Server, missing


def test_list_is_newest_first_and_shows_people_twenty_and_scripts_all(
    store: SessionStore, run: Run
) -> None:
    for day in range(25):
        put(store, f"key-{day:02}", LONG_AGO + timedelta(days=day))
    for_people = run("list").stdout.splitlines()
    assert len(for_people) == 1 + 20
    assert "key-24" in for_people[1]
    assert "2020-01-25 00:00:00" in for_people[1]
    listed = [entry["session_key"] for entry in lines(run("list", "--json"))]
    assert listed == [f"key-{day:02}" for day in reversed(range(25))]
    assert len(lines(run("list", "--json", "--limit", "3"))) == 3


def test_list_shows_only_what_is_asked_for(store: SessionStore, run: Run) -> None:
    put(store, "old", LONG_AGO)
    for chat in "123":
        store.get_or_create_session(source(chat))
    store.suspend_session(SessionKey("agent:main:telegram:dm:1"))
    store.mark_resume_pending(SessionKey("agent:main:telegram:dm:2"))
    store.take_hold(SessionKey("agent:main:telegram:dm:3"), "cron-1")

    def keys(*options: str) -> list[str]:
        return sorted(entry["session_key"][-1] for entry in lines(run("list", "--json", *options)))

    assert keys("--only", "suspended") == ["1"]
    assert keys("--only", "resume_pending") == ["2"]
    assert keys("--only", "active") == ["3"]
    assert keys("--active-minutes", "60") == ["1", "2", "3"]
    assert "held" in run("list", "--only", "active").stdout
    assert run("list", "--only", "sleeping").exit_code == 2
    assert "suspended" in run("list", "--only", "suspended").stdout


def test_list_names_damaged_entries_on_stderr_and_goes_on(
    store: SessionStore, run: Run, client: redis.Redis
) -> None:
    put(store, "sound", LONG_AGO)
    put(store, "damaged", LONG_AGO)
    client.hset("{redisstore}:entry:damaged", "version", "many")
    for options in ((), ("--json",)):
        result = run("list", *options)
        assert result.exit_code == 1
        assert "sound" in result.stdout
        assert "damaged" not in result.stdout
        assert "{redisstore}:entry:damaged" in result.stderr
        assert result.stderr.count("\n") == 1


def test_an_empty_redis_lists_nothing_and_stays_empty(run: Run, client: redis.Redis) -> None:
    assert run("list").stdout == "no sessions\n"
    assert run("list", "--json").stdout == ""
    assert run("stats").exit_code == run("doctor", "--repair").exit_code == 0
    assert "no store" in run("doctor").stdout
    assert client.dbsize() == 0


def test_show_has_all_fields_the_holds_and_the_redis_keys(store: SessionStore, run: Run) -> None:
    entry = store.get_or_create_session(source("42", "the name"))
    store.update_session(KEY, input_tokens=1234, estimated_cost_usd="0.25")
    store.set_model_override(KEY, {"model": "large"})
    store.take_hold(KEY, "cron-1", ttl=100)
    shown_to_people = run("show", KEY)
    assert shown_to_people.exit_code == 0
    for text in ("input_tokens", "1234", "0.25", "origin.chat_name", "the name", "cron-1", "large"):
        assert text in shown_to_people.stdout
    assert f"redis-cli HGETALL '{{redisstore}}:entry:{KEY}'" in shown_to_people.stdout
    found = document(run("show", entry.session_id, "--json"))
    assert found["session"]["session_key"] == KEY
    assert found["session"]["estimated_cost_usd"] == "0.250000000"
    (hold,) = found["holds"]
    assert hold["process_id"] == "cron-1"
    assert 0 < hold["seconds_left"] <= 100
    assert found["redis_keys"]["entry"] == f"{{redisstore}}:entry:{KEY}"
    assert set(found["redis_keys"]) >= {"holds", "updated_at", "active", "expiry", "session_ids"}
    assert found["redis_keys"]["events"] == "{redisstore}:events"


def test_show_names_the_keys_of_the_right_partition(server: Server, run: Run) -> None:
    with SessionStore.from_url(server.url(), namespace="cut", partitions=8) as store:
        entry = store.get_or_create_session(source("42"))
    found = document(run("show", KEY, "--namespace", "cut", "--json"))
    assert server.client().hget(found["redis_keys"]["entry"], "session_id") == (
        entry.session_id.encode()
    )


def test_show_of_an_unknown_session_is_refused(run: Run) -> None:
    result = run("show", "nobody", "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "nobody" in result.stderr


def test_show_of_a_session_with_damaged_holds_goes_on_without_them(
    store: SessionStore, run: Run, client: redis.Redis
) -> None:
    store.get_or_create_session(source("42"))
    client.set(f"{{redisstore}}:holds:{KEY}", "oops")
    result = run("show", KEY)
    assert result.exit_code == 1
    assert f"{{redisstore}}:holds:{KEY}" in result.stderr
    assert "updated_at" in result.stdout


def test_show_of_a_damaged_session_still_tells_where_to_look(
    store: SessionStore, run: Run, client: redis.Redis
) -> None:
    store.get_or_create_session(source("42"))
    client.delete(f"{{redisstore}}:entry:{KEY}")
    client.set(f"{{redisstore}}:entry:{KEY}", "oops")
    result = run("show", KEY)
    assert result.exit_code == 1
    assert "not a hash" in result.stderr
    assert f"redis-cli HGETALL '{{redisstore}}:entry:{KEY}'" in result.stdout


@pytest.mark.parametrize("key", [KEY, "it's $HOME `x` \\n", STRANGE])
def test_the_commands_of_show_reach_the_entry_from_a_shell(
    server: Server, store: SessionStore, tmp_path: Path, key: str
) -> None:
    cli = shutil.which("redis-cli")
    if cli is None:
        missing("redis-cli is not installed")
    put(store, key, LONG_AGO)
    wrapper = tmp_path / "redis-cli"
    wrapper.write_text(f'#!/bin/sh\nexec {cli} -s "{server.socket_path}" "$@"\n', "utf-8")
    wrapper.chmod(0o700)
    line = shell_line("HGET", f"{{redisstore}}:entry:{key}", "created_at")
    path = f"{tmp_path}:{os.environ['PATH']}"
    answer = subprocess.run(
        ["sh", "-c", line], env={**os.environ, "PATH": path}, capture_output=True, check=True
    )
    assert answer.stdout.strip() == b"1577836800000"


@pytest.mark.parametrize("command", [("list",), ("show", STRANGE), ("suspend", STRANGE)])
def test_names_of_strangers_are_neither_markup_nor_escape_sequences(
    store: SessionStore, run: Run, command: tuple[str, ...]
) -> None:
    put(store, STRANGE, LONG_AGO, display_name=STRANGE)
    result = run(*command)
    assert result.exit_code == 0
    assert escaped(STRANGE) in result.stdout
    assert all(one.isprintable() or one == "\n" for one in result.stdout)


def test_scripts_get_strange_names_exactly(store: SessionStore, run: Run) -> None:
    strange = f"{STRANGE}\x7f\x85\u2028"
    put(store, strange, LONG_AGO)
    result = run("list", "--json")
    assert all(one.isprintable() for one in result.stdout.removesuffix("\n"))
    assert lines(result)[0]["session_key"] == strange


def test_scripts_can_look_for_a_name_as_it_is_written(
    store: SessionStore, environment: dict[str, str]
) -> None:
    put(store, KEY, LONG_AGO, display_name="Zo\u00eb \u5b57")
    command = [*REDISSTORE, "list", "--json"]
    listed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    assert "Zo\u00eb \u5b57".encode() in listed
    # An escape of the terminal would be no JSON.
    environment |= {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    listed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    assert json.loads(listed)["display_name"] == "Zo\u00eb \u5b57"


def test_strange_names_in_errors_are_escaped_on_one_line(run: Run) -> None:
    result = run("reset", STRANGE)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert escaped(STRANGE) in result.stderr


def test_text_is_shown_in_one_line_without_control_characters() -> None:
    assert escaped("a\nb\x1b[0m\u202e\x7f\udc80") == r"a\nb\x1b[0m\u202e\x7f\udc80"
    assert escaped("caf\u00e9 \u5b57 [bold]\\") == "caf\u00e9 \u5b57 [bold]\\"


def test_suspend_reset_and_delete_do_so_and_say_it(store: SessionStore, run: Run) -> None:
    old = store.get_or_create_session(source("42"))
    assert document(run("suspend", KEY, "--json")) == {"session_key": KEY, "suspended": True}
    suspended = store.get_session(KEY)
    assert suspended is not None
    assert suspended.suspended
    new_id = document(run("reset", KEY, "--json"))["session_id"]
    now = store.get_session(KEY)
    assert now is not None
    assert now.session_id == new_id != old.session_id
    assert run("delete", KEY).stdout == f"deleted {KEY}\n"
    assert store.get_session(KEY) is None


@pytest.mark.parametrize("command", ["suspend", "reset", "delete"])
def test_an_unknown_key_is_refused_and_a_session_id_pointed_out(
    store: SessionStore, run: Run, command: str
) -> None:
    entry = store.get_or_create_session(source("42"))
    result = run(command, entry.session_id)
    assert result.exit_code == 1
    assert f"that is the session id of {KEY}" in result.stderr
    assert run(command, "nobody", "--json").stdout == ""
    assert store.get_session(KEY) == entry
