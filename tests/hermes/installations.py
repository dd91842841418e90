"""Versions of the gateway, installed once and kept outside the project.

An environment is made under a lock, so that two test processes don't make it twice, and a stamp
in it says what it is complete for. The project itself is in it as an editable installation; a
change of `pyproject.toml` installs that part again.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import missing

__all__ = ["VERSIONS", "Installation", "installation"]

VERSIONS = tuple(os.environ.get("REDISSTORE_HERMES_VERSIONS", "0.19.0").replace(",", " ").split())
"""What the tests run against: all that the environment names, else the newest one known."""

_ROOT = Path(__file__).resolve().parents[2]
_NO_NETWORK = re.compile(
    r"Retrying \(Retry|Max retries exceeded|NewConnectionError|NameResolutionError"
    r"|Temporary failure in name resolution|ProxyError|Read timed out|Could not fetch URL"
)


class Installation:
    """One version of the gateway, complete and ready to run."""

    def __init__(self, version: str, directory: Path) -> None:
        self.version = version
        self._directory = directory

    @property
    def programs(self) -> Path:
        """The directory that has `hermes` and `python`."""
        return self._directory / "bin"


def installation(version: str) -> Installation:
    """That version, installed now if it is not yet; the end of the test if there is no network."""
    directory, trouble = _install(version)
    if trouble:
        missing(f"hermes-agent {version} is not installed, and {trouble}")
    return Installation(version, directory)


@functools.cache
def _install(version: str) -> tuple[Path, str]:
    """The directory and what went wrong: tried once a process, for it may take minutes."""
    directory = _home() / f"hermes-{version}-{_fingerprint(sys.version + str(_ROOT))}"
    project = _fingerprint((_ROOT / "pyproject.toml").read_text("utf-8"))
    stamp = directory / "complete"
    with _locked(directory):
        complete = stamp.read_text("utf-8") if stamp.exists() else ""
        if complete == project:
            return directory, ""
        if not complete:
            shutil.rmtree(directory, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        trouble = _pip(directory, f"hermes-agent=={version}", "aiohttp", "-e", f"{_ROOT}[hermes]")
        if not trouble:
            stamp.write_text(project, "utf-8")
    return directory, trouble


def _pip(environment: Path, *packages: str) -> str:
    run = subprocess.run(
        [str(environment / "bin" / "python"), "-m", "pip", "install", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 0:
        return ""
    if _NO_NETWORK.search(run.stderr):
        return "the package index can't be reached"
    pytest.fail(f"pip could not install {' '.join(packages)}:\n{run.stderr[-2000:]}")


def _home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "redisstore-tests"


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
