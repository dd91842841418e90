"""A password that only a correct quoting survives."""

from __future__ import annotations

from urllib.parse import quote

SECRET = "p@ss:w/rd?#[]%,é"  # noqa: S105 - of a server that lives as long as the tests

QUOTED = quote(SECRET, safe="")
"""As it is written in a URL."""
