"""A server of each backend for each test, as these tests hurt what they are given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import BACKEND_NAMES, Backend, Server, require


@pytest.fixture(params=BACKEND_NAMES)
def server_binary(request: pytest.FixtureRequest) -> Backend:
    return require(request.param)


@pytest.fixture
def server(server_binary: Backend) -> Iterator[Server]:
    with Server(server_binary) as running:
        yield running
