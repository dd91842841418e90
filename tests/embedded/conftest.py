"""A place for the servers of a test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded.servers import Servers


@pytest.fixture
def servers() -> Iterator[Servers]:
    # Not tmp_path: its length would decide whether the socket's path is a long one.
    with tempfile.TemporaryDirectory(prefix="embedded-") as base:
        made = Servers(Path(base))
        try:
            yield made
        finally:
            made.end()
