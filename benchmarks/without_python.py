"""The load that a C program puts on a server: ``redis-benchmark``, where the machine has it."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from collections.abc import Sequence

from tests.servers import Server

_PROGRAMS = ("valkey-benchmark", "redis-benchmark")
RANDOM = "__rand_int__"
"""In a word of a command: twelve digits, others in each request."""


def program() -> str | None:
    """Return the path of the program; Debian has it in ``redis-tools``."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


def version() -> str:
    """Return what the program says of itself."""
    found = program()
    if found is None:
        return "redis-benchmark is not installed"
    done = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def rate(server: Server, command: Sequence[object], *, requests: int, connections: int) -> float:
    """Return requests a second."""
    host, port = server.address
    found = program()
    if found is None:
        raise RuntimeError("redis-benchmark is not installed")
    words = [found, "-h", host, "-p", port, "-n", requests, "-c", connections]
    words += ["-r", 10**11, "--csv", *command]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
    head, line = list(csv.reader(io.StringIO(done.stdout)))[-2:]
    return float(dict(zip(head, line, strict=True))["rps"])
