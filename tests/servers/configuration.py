"""A server's configuration file: what every test server is told, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from .ports import HOST

__all__ = ["Directive", "Mode", "configuration", "essentials"]

Directive: TypeAlias = str | int | bool | Path | Sequence[str | int]
"""A value in the configuration; a sequence makes a directive of several arguments."""

Mode: TypeAlias = Literal["standalone", "cluster", "sentinel"]
"""What a server is to be: by itself, a node of a cluster, or a sentinel."""


def essentials(mode: Mode, directory: Path, port: int, bus_port: int) -> dict[str, Directive]:
    """Loopback only, in the foreground, a log in the directory, and no snapshots unasked."""
    directives: dict[str, Directive] = {
        "bind": HOST,
        "port": port,
        "protected-mode": False,
        "daemonize": False,
        "dir": directory,
        "logfile": directory / "server.log",
        "loglevel": "notice",
    }
    if mode != "sentinel":
        directives |= {"save": "", "repl-diskless-sync-delay": 0, "shutdown-timeout": 1}
    if mode == "cluster":
        directives |= {
            "cluster-enabled": True,
            "cluster-port": bus_port,
            "cluster-config-file": "nodes.conf",
        }
    return directives


def configuration(directives: Mapping[str, Directive], lines: Sequence[str]) -> str:
    """The text of a configuration file: a line for each directive, then the lines as they are."""
    return "\n".join([*(_line(*one) for one in directives.items()), *lines, ""])


def _line(name: str, value: Directive) -> str:
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if isinstance(value, (str, int, Path)):
        value = [str(value)]
    return " ".join([name, *(f'"{_escaped(str(one))}"' for one in value)])


def _escaped(argument: str) -> str:
    return argument.replace("\\", "\\\\").replace('"', '\\"')
