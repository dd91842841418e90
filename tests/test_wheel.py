"""What is built: the wheel works away from the checkout, and the sdist has all that it needs."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from redisstore.scripts import directory
from tests.commands import ROOT

SCRIPTS = {path.name for path in directory().glob("*.lua")}
PROGRAM = """
import sys
from pathlib import Path
import redisstore
from redisstore import SessionSource, SessionStore
from redisstore.scripts import directory, library

installed = Path(sys.argv[1])
assert installed in Path(redisstore.__file__).parents, redisstore.__file__
assert installed in directory().parents, directory()
with SessionStore.from_url("memory:") as store:
    entry = store.get_or_create_session(SessionSource(platform="telegram", chat_id="42"))
    assert store.get_session(entry.session_key) == entry
print(len(library()))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both from the checkout, with what is installed here."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return out


def test_the_wheel_finds_its_scripts_away_from_the_checkout(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    installed = tmp_path / "installed"
    # A wheel is a zip of what goes into site-packages; its dependencies are installed here already.
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)  # noqa: S202 - we have just built it
    program = f"import sys; sys.path.insert(0, sys.argv[1])\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(installed)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) == len(SCRIPTS)


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"redisstore"}
    assert "redisstore/py.typed" in names
    assert {Path(name).name for name in names if name.endswith(".lua")} >= SCRIPTS


def test_the_sdist_can_be_built_from(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"lua/{name}" for name in SCRIPTS} <= names
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "tools/async_twin.py"} <= names
