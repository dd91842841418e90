"""Servers for the whole run, a fresh namespace for each test, and a look at what it left behind.

``site`` is a kind of server with a partition count; ``store`` is a store there, through either
face. After each test the store is audited: whatever a test did, entries and indexes must agree.
A test that damages data by hand says so with ``@pytest.mark.damages``.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from redisstore import SessionStore, StoreConfig
from tests.faces import open_face
from tests.servers import BACKEND_NAMES, Cluster, Server, require

_numbers = itertools.count()


def pytest_configure() -> None:
    """Heed Ctrl-C, which whatever a shell starts in the background ignores, with all it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Site:
    """Where a test's stores live."""

    name: str
    url: str
    partitions: int


class Sites:
    """Starts each server when the first test asks for it, and stops all at the end of the run."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._servers: dict[str, Server] = {}
        self._cluster: Cluster | None = None

    def server(self, backend: str) -> Server:
        if backend not in self._servers:
            require(backend)
            self._servers[backend] = self._stack.enter_context(Server(backend, listen="both"))
        return self._servers[backend]

    def cluster(self) -> Cluster:
        if self._cluster is None:
            require("redis-8.2")
            self._cluster = self._stack.enter_context(Cluster("redis-8.2"))
        return self._cluster

    def get(self, name: str) -> Site:
        if name == "memory":
            return Site(name, f"memory://test-{os.getpid()}", 1)
        if name == "cluster":
            return Site(name, self.cluster().url(), 64)
        backend, _, partitions = name.partition("/")
        return Site(name, self.server(backend).url(), int(partitions or 1))


SITES = ("memory", *BACKEND_NAMES, "valkey-9.1/4", "cluster")
FACES = ("sync", "async")


@pytest.fixture(scope="session")
def sites() -> Iterator[Sites]:
    with ExitStack() as stack:
        yield Sites(stack)


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, sites: Sites) -> Site:
    return sites.get(request.param)


@pytest.fixture
def namespace() -> str:
    return f"t{os.getpid()}-{next(_numbers):05}"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


OpenStore = Callable[..., SessionStore]


@pytest.fixture(params=FACES)
def open_store(
    request: pytest.FixtureRequest,
    site: Site,
    namespace: str,
    loop: asyncio.AbstractEventLoop,
) -> Iterator[OpenStore]:
    """Open stores on the site; any number of them share the test's namespace."""

    def open_one(**settings: object) -> SessionStore:
        config = StoreConfig.model_validate(
            {
                "url": site.url,
                "namespace": namespace,
                "partitions": site.partitions,
                "replica": "tester",
                **settings,
            }
        )
        return open_face(request.param, config, loop)

    damages = request.node.get_closest_marker("damages") is not None
    with looked_behind(open_one, damages=damages) as opening:
        yield opening


@contextmanager
def looked_behind(open_one: OpenStore, *, damages: bool) -> Iterator[OpenStore]:
    """Open stores; in the end audit what they share, unless it was damaged, and close them all."""
    opened: list[SessionStore] = []
    with ExitStack() as stack:

        def opening(**settings: object) -> SessionStore:
            store = open_one(**settings)
            stack.callback(store.close)
            opened.append(store)
            return store

        yield opening
        if opened and not damages:
            faults = list(opened[0].audit())
            assert faults == []


@pytest.fixture
def store(open_store: OpenStore) -> SessionStore:
    return open_store()
