"""Servers, proxies and stores for the tests of faults."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from redisstore import SessionStore, StoreConfig
from tests.faces import open_face
from tests.servers import BACKEND_NAMES, FaultyProxy, Server, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


FACES = ("sync", "async")
_numbers = itertools.count()


@pytest.fixture(scope="module", params=BACKEND_NAMES)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that the tests of a module share and leave as they found it."""
    with Server(require(request.param)) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(server: Server) -> Iterator[FaultyProxy]:
    """The way to that server which can be disturbed."""
    with FaultyProxy(server.address) as standing:
        yield standing


@pytest.fixture
def configured() -> Callable[..., StoreConfig]:
    """Makes configurations with a namespace of their own and little patience."""

    def make(url: str, **settings: Any) -> StoreConfig:
        return StoreConfig(
            **{
                "url": url,
                "namespace": f"test-{next(_numbers)}",
                "replica": "gateway",
                "deadline": 1.0,
                "socket_timeout": 0.3,
                **settings,
            }
        )

    return make


@pytest.fixture(params=FACES)
def opened(
    request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop
) -> Iterator[Callable[[StoreConfig], SessionStore]]:
    """Opens stores of either kind, and closes them when the test is over."""
    stores: list[SessionStore] = []

    def open_one(config: StoreConfig) -> SessionStore:
        store = open_face(request.param, config, loop)
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        store.close()
