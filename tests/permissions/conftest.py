"""A server and a Cluster of each kind, and their documented users."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.permissions.documented import introduce, login, permissions_of
from tests.servers import BACKEND_NAMES, Cluster, Server, require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Place:
    """A server or a Cluster, how many partitions a store has there, and what its users need."""

    nodes: Sequence[Server]
    url: str
    partitions: int
    needs: tuple[str, ...]

    def as_user(self, user: str, *needs: str) -> str:
        """Return the URL of a documented user, who is made, and of whom nothing was refused."""
        permissions = permissions_of(user, *self.needs, *needs)
        introduce(self.nodes, user, permissions)
        return login(self.url, permissions, user)

    def contents(self) -> dict[bytes, bytes]:
        """Return what every key holds; what is kept of a call for its repetition is left out."""
        found = {}
        for node in self.nodes:
            client: Any = node.client()
            for name in client.scan_iter(count=1000):
                if b"}:op:" not in name:
                    found[name] = client.dump(name)
            client.close()
        return found

    def clear(self) -> None:
        """Delete all but the records of the layout."""
        for node in self.nodes:
            client: Any = node.client()
            for found in client.scan_iter(count=1000):
                if not found.endswith(b"}:meta"):
                    client.delete(found)
            client.close()


class Places:
    """Starts each server, and each Cluster, when the first test asks for it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._started: dict[str, Server | Cluster] = {}

    def get(self, name: str) -> Place:
        """Return a place by its name, emptied."""
        backend, _, kind = name.partition("/")
        where = backend + ("/cluster" if kind == "cluster" else "")
        if where not in self._started:
            chosen = require(backend)
            started = Cluster(chosen) if kind == "cluster" else Server(chosen)
            self._stack.enter_context(started)
            self._started[where] = started
        started = self._started[where]
        nodes = started.nodes if isinstance(started, Cluster) else [started]
        for node in nodes:
            node.ask("FLUSHALL")
        needs = {"1": (), "4": ("more than",), "cluster": ("Cluster",)}
        return Place(nodes, started.url(), {"1": 1, "4": 4, "cluster": 6}[kind], needs[kind])


KINDS = ("1", "4", "cluster")


@pytest.fixture(scope="session")
def places() -> Iterator[Places]:
    with ExitStack() as stack:
        yield Places(stack)


@pytest.fixture(params=[f"{backend}/{kind}" for backend in BACKEND_NAMES for kind in KINDS])
def place(request: pytest.FixtureRequest, places: Places) -> Place:
    return places.get(request.param)
