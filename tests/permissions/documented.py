"""The users of docs/operations.md, and how a server is told of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.commands import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.servers import Server

__all__ = ["commands_of", "introduce", "login", "more_for", "permissions_of", "refused"]

_USER = re.compile(r"^user (\w+) (.+)$", re.MULTILINE)
_ROW = re.compile(r"^\| (.+?) \| (`.+?`).* \|$", re.MULTILINE)


def _section() -> str:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    return text.partition("## The least permissions\n")[2].partition("\n## ")[0]


def permissions_of(user: str, *more: str) -> list[str]:
    """Return the rule of a user, with what is documented to be more for some needs."""
    rules = dict(_USER.findall(_section()))
    added = [permission for need in more for permission in more_for(need)]
    permissions: list[str] = [*rules[user].split(), *added]
    return permissions


def more_for(need: str) -> list[str]:
    """Return the permissions of a row whose first words these are."""
    (row,) = [given for name, given in _ROW.findall(_section()) if name.startswith(need)]
    return [word.replace("\\|", "|") for word in row.strip("`").split()]


def commands_of(permissions: Iterable[str]) -> set[str]:
    """Return the commands among permissions, without subcommands."""
    return {word[1:].partition("|")[0] for word in permissions if word.startswith("+")}


def introduce(nodes: Iterable[Server], user: str, permissions: Sequence[str]) -> None:
    """Make a user of every node, and forget what was refused so far."""
    for node in nodes:
        node.ask("ACL", "SETUSER", user, "reset", *permissions)
        node.ask("ACL", "LOG", "RESET")


def login(url: str, permissions: Sequence[str], user: str) -> str:
    """Return a URL with the name and the password of a user in it."""
    (password,) = [word[1:] for word in permissions if word.startswith(">")]
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc}").geturl()


def refused(nodes: Iterable[Server]) -> list[str]:
    """Return what the nodes have refused, command or key by reason."""
    return [
        " ".join(f"{_text(name)}={_text(value)}" for name, value in entry.items())
        for node in nodes
        for entry in node.ask("ACL", "LOG")
    ]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
