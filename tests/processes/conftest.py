"""Where the crews work: each backend, and a Cluster of three masters."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from redisstore import StoreConfig
from tests.servers import BACKEND_NAMES, Cluster, Server, require

from .crew import Crew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CLUSTERED = "valkey-9.1 cluster"
_PARTITIONS = 6
"""On the Cluster: two a master. On a server, one."""

_numbers = itertools.count()


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    with Crew() as working:
        yield working


@pytest.fixture(scope="session", params=[*BACKEND_NAMES, _CLUSTERED])
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server, or of a Cluster."""
    backend = require(request.param.partition(" ")[0])
    with ExitStack() as stack:
        if request.param == _CLUSTERED:
            yield stack.enter_context(Cluster(backend)).url()
        else:
            yield stack.enter_context(Server(backend)).url()


@pytest.fixture
def configured(place: str) -> Callable[..., StoreConfig]:
    """Makes configurations of one store that no other test uses."""
    own: dict[str, Any] = {
        "url": place,
        "namespace": f"test-{next(_numbers)}",
        "partitions": _PARTITIONS if "cluster" in place else 1,
        "replica": "gateway",
    }

    def make(**settings: Any) -> StoreConfig:
        return StoreConfig(**own, **settings)

    return make
