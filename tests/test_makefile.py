"""The Makefile finds a Python, or says plainly that there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("make", "sh", "test", "echo", "rm")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with the Makefile, and a PATH on which there is no Python."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # A make that runs the tests hands down its own options in the environment.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env=environment | {"PATH": str(checkout / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )


def pretend_python(checkout: Path, name: str, *, new_enough: bool) -> None:
    """Put a program on the PATH that says what it is asked to make."""
    status = 0 if new_enough else 1
    script = checkout / "bin" / name
    script.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit {status}\necho "{name} $*"\nexit 3\n')
    script.chmod(0o755)


def test_it_says_that_there_is_no_python(checkout: Path) -> None:
    done = make(checkout, "demo")

    assert done.returncode == 2
    assert "redisstore needs Python 3.11 or newer" in done.stderr
    assert "found none" in done.stderr


def test_it_refuses_a_given_python_that_is_too_old(checkout: Path) -> None:
    pretend_python(checkout, "old", new_enough=False)

    done = make(checkout, "demo", "PYTHON=old")

    assert done.returncode == 2
    assert "redisstore needs Python 3.11 or newer, with venv; old is not" in done.stderr


def test_it_takes_the_newest_python_that_is_new_enough(checkout: Path) -> None:
    pretend_python(checkout, "python3.13", new_enough=False)
    pretend_python(checkout, "python3.12", new_enough=True)
    pretend_python(checkout, "python3", new_enough=True)

    assert "python3.12 -m venv .venv" in make(checkout, "demo").stdout
    assert "python3 -m venv .venv" in make(checkout, "demo", "PYTHON=python3").stdout
    assert not (checkout / ".venv").exists()
