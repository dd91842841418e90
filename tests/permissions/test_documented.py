"""The documented rules against what the scripts and the client call, as written and as counted."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from redisstore.scripts import directory
from tests.commands import ROOT
from tests.permissions.documented import commands_of, introduce, more_for, permissions_of
from tests.servers import BACKEND_NAMES, Server, require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SENT = {"eval", "evalsha", "blpop", "client"}
"""What is sent for calls and waits, and to name a connection."""
SENT_BY_DOCTOR = {"scan", "info"}
READ_BY_HAND = {"audit_entries", "audit_index", "audit_keys", "open_store", "prune"}
"""What only reads if it is told so; the others that read say it in their first line."""
_CALLED = re.compile(r"""\b(?:call|pcall|attempt)\(\s*'(\w+)'(?:, '([A-Z]+)')?""")
_ANY_CALL = re.compile(r"\b(?:call|pcall|attempt)\((?!\.\.\.\))")
_WITH_SUBCOMMANDS = {"xgroup", "xinfo", "client", "cluster"}


def scripts() -> Mapping[str, str]:
    return {path.stem: path.read_text("utf-8") for path in directory().glob("*.lua")}


def called(text: str) -> set[str]:
    """Return the commands that a script calls, as a rule names them."""
    found = _CALLED.findall(text)
    assert len(found) == len(_ANY_CALL.findall(text)), "a command that is not written out"
    named = ((name.lower(), further.lower()) for name, further in found)
    return {f"{name}|{more}" if name in _WITH_SUBCOMMANDS else name for name, more in named}


def given(permissions: list[str]) -> set[str]:
    return {word[1:] for word in permissions if word.startswith("+")}


@pytest.fixture(scope="module", params=BACKEND_NAMES)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(require(request.param)) as running:
        yield running


def test_a_gateway_may_do_what_scripts_and_client_do_and_nothing_else() -> None:
    inside = {command for text in scripts().values() for command in called(text)}
    assert given(permissions_of("gateway")) == inside | SENT - {"client"} | {"client|setname"}
    assert commands_of(more_for("`redisstore doctor`")) == SENT_BY_DOCTOR


def test_a_gateway_may_do_whatever_was_counted() -> None:
    costs = json.loads((ROOT / "tests" / "data" / "costs.json").read_text("utf-8"))
    counted = {
        word.partition("*")[0]
        for operation in costs["operations"].values()
        for column in ("sent", "inside")
        for counts in (operation[column],)
        for text in (counts.values() if isinstance(counts, dict) else [counts])
        for word in text.split()
    }
    assert len(counted) > 30
    assert counted - SENT_BY_DOCTOR <= given(permissions_of("gateway"))


def test_a_reader_may_do_what_reading_takes_and_nothing_else(server: Server) -> None:
    writes = {name.decode() for name in server.ask("ACL", "CAT", "write")}
    texts = {
        name: text
        for name, text in scripts().items()
        if name in READ_BY_HAND or "no-writes" in text.partition("\n")[0]
    }
    reading = {command for text in texts.values() for command in called(text)} - writes
    sent = SENT - {"client", "blpop"} | {"client|setname"} | SENT_BY_DOCTOR
    assert given(permissions_of("reader")) == reading | sent


@pytest.mark.parametrize("user", ["gateway", "reader"])
def test_every_server_knows_the_permissions(server: Server, user: str) -> None:
    introduce([server], user, permissions_of(user, "more than", "Cluster", "a database"))


@pytest.mark.parametrize("path", sorted(directory().glob("*.lua")), ids=lambda path: path.stem)
def test_an_error_that_is_caught_is_looked_at(path: Path) -> None:
    """What is not the error of a damaged key must not be taken for an answer."""
    text = path.read_text("utf-8")
    caught = len(re.findall(r"\bpcall\(", text))
    assert len(re.findall(r"'\^WRONGTYPE'", text)) == caught
