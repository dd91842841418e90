"""Turns for tests: begun by hand, and lapsing when the test says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from redisstore import SessionKey, SessionStore
from redisstore.calls import turns
from redisstore.calls.turn_replies import Taken
from redisstore.fields import to_ms
from redisstore.keys import KeySpace
from tests.conftest import OpenStore, Site
from tests.entries import source
from tests.model.clock import ServerClock, put_on_clocks

__all__ = ["LEASE", "NOON", "ClockedStores", "begun", "believing", "direct_client", "in_line"]

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
LEASE = timedelta(seconds=30)
"""The default lease of a turn."""


def begun(
    store: SessionStore, name: str = "ada", message_id: str | None = None, **more: Any
) -> Any:
    """Begin a turn on a lane and leave it running, as a process does that then dies."""
    turn = store.turn(source(name), message_id, more.pop("wait", 0), **more)
    return turn.__enter__()


def in_line(store: SessionStore, name: str, message_id: str) -> Any:
    """Put a turn in line and leave it there; entering it goes on where it is."""
    turn: Any = store.turn(source(name), message_id, wait=60)
    answer: object = store._run(lambda context: turns._begin(context, turn._state.request))
    assert isinstance(answer, Taken)
    assert answer.kind == "waiting"
    return turn


def believing(turn: Any) -> Any:
    """Return a turn whose client believes that it runs, whatever became of it."""
    state = getattr(turn, "_turn", turn)._state
    state.ended = state.told_lost = False
    return turn


@contextmanager
def direct_client(site: Site) -> Iterator[Any]:
    """A client of the server behind a site, for what no script does."""
    with SessionStore.from_url(site.url) as store:
        yield store._runner.connection.client


class ClockedStores:
    """Stores of one namespace on a clock that the test moves."""

    def __init__(self, open_store: OpenStore, site: Site, namespace: str, client: Any) -> None:
        self.client = client
        self._open = open_store
        self.space = KeySpace(namespace, site.partitions)
        self.clock = ServerClock(client, self.space, NOON)

    def open(self, **settings: object) -> SessionStore:
        store = self._open(**settings)
        # The asyncio face is a dress; the store that the clocks go to is inside.
        put_on_clocks(getattr(store, "_store", store), self.clock)
        return store

    def keep(self, session_key: SessionKey) -> None:
        """Renew the lease of a lane's turn by hand, as what renews would do in time."""
        until = self.clock.now() + LEASE
        self.client.zadd(self.space.partition_of(session_key).turns, {session_key: to_ms(until)})

    def lapse(self) -> None:
        """Let so much time pass that no lease still runs which isn't renewed meanwhile."""
        self.clock.advance(LEASE + timedelta(milliseconds=1))
