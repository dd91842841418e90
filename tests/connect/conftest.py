"""A server with a password, and a Cluster, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connect.login import SECRET
from tests.servers import BACKEND_NAMES, Cluster, Server, require


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    with Server("valkey-9.1", listen="both", requirepass=SECRET) as running:
        yield running


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    with Cluster("valkey-9.1") as running:
        yield running


@pytest.fixture(scope="module", params=BACKEND_NAMES)
def open_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(require(request.param)) as running:
        yield running


@pytest.fixture
def empty(open_server: Server) -> Server:
    open_server.client().flushall()
    return open_server
