"""Both generations of the gateway's file, made-up files, and a store in this process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import fakeredis
import pytest

from redisstore import SessionStore
from tests.transfer import files
from tests.transfer.files import DATA, Put, Row


@pytest.fixture(params=["0.13", "0.19"])
def generation(request: pytest.FixtureRequest) -> Path:
    return DATA / f"hermes-{request.param}"


@pytest.fixture
def sessions(generation: Path) -> dict[str, Row]:
    return files.rows_in(generation / "sessions.json")


@pytest.fixture
def local() -> Iterator[SessionStore]:
    """A store for what does not depend on the server."""
    with SessionStore(fakeredis.FakeRedis()) as store:
        yield store


@pytest.fixture
def put(tmp_path: Path) -> Put:
    return partial(files.put, tmp_path)
