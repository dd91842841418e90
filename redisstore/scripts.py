"""Find, read and hash the Lua scripts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SHEBANG = "#!lua"


@dataclass(frozen=True, slots=True)
class Script:
    """One script as it is sent: its text, and the SHA-1 by which the server knows it."""

    name: str
    text: str
    sha: str

    @classmethod
    def of(cls, name: str, text: str) -> Script:
        """Hash a text."""
        return cls(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    def without_shebang(self) -> Script:
        """Return the script for a server that does not know the ``#!lua`` line (fakeredis)."""
        if not self.text.startswith(SHEBANG):
            return self
        return Script.of(self.name, self.text.removeprefix(self.text.splitlines()[0]))


Library = Mapping[str, Script]
"""All scripts by name."""


def directory() -> Path:
    """Return where the scripts are: in an installed wheel inside the package, else beside it."""
    package = Path(__file__).resolve().parent
    for place in (package / "lua", package.parent / "lua"):
        if (place / "open_store.lua").is_file():
            return place
    raise FileNotFoundError(f"the scripts of redisstore are missing: looked in {package}/lua")


@lru_cache(maxsize=2)
def library(*, shebang: bool = True) -> Library:
    """Return all scripts; without the ``#!lua`` line where the server does not know it."""
    scripts = (Script.of(p.stem, p.read_text("utf-8")) for p in sorted(directory().glob("*.lua")))
    return {s.name: s if shebang else s.without_shebang() for s in scripts}
