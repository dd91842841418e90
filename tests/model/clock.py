"""Stores whose clocks stand where a test puts them.

The server's clock is a key beside the store's own: the scripts' shared clock block is replaced by
one that reads it. Its name, ``{tag}clock``, has the hash tag of its partition, so that scripts may
read it on Cluster, and lacks the colon that every key of the store has after the tag, so that
audits and leak checks don't see it. Scripts fail while it is unset.

Tokens of repeated calls (``{tag}:op:...``) still lapse by the server's true clock.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

from redisstore.calls.layout import Opening
from redisstore.fields import from_ms, to_ms
from redisstore.scripts import Library, Script

if TYPE_CHECKING:
    from redisstore import AsyncSessionStore, SessionStore
    from redisstore.connect import SyncClient
    from redisstore.keys import KeySpace

    StoreT = TypeVar("StoreT", SessionStore, AsyncSessionStore)

_BLOCK = re.compile(r"(?<=-- shared: clock\n).*?(?=-- end shared)", re.DOTALL)
_FROM_KEY = (
    "local now = tonumber(redis.call('GET', string.match(KEYS[1], '^[^}]*}') .. 'clock'))\n"
    "local time = { math.floor(now / 1000), now % 1000 * 1000 }\n"
)


class Clock(Protocol):
    """Tells the time; aware, in UTC, whole milliseconds."""

    def now(self) -> datetime: ...


class ServerClock:
    """The server's clock, in every partition of one store and beside what is of no partition.

    ``client`` must reach the server that the store uses; it may be another connection.
    """

    def __init__(self, client: SyncClient, space: KeySpace, start: datetime) -> None:
        self._client = client
        prefixes = {space.root, *(home.prefix for home in space.partitions)}
        self._keys = [prefix.replace(":", "clock") for prefix in prefixes]
        self.set(start)

    def now(self) -> datetime:
        return from_ms(self._now_ms)

    def set(self, moment: datetime) -> None:
        """Put the clock to a moment, later or earlier."""
        self._now_ms = to_ms(moment)
        for key in self._keys:
            self._client.set(key, self._now_ms)

    def advance(self, by: timedelta) -> None:
        """Move the clock on, or back by a negative amount."""
        self.set(self.now() + by)


class SkewedClock:
    """A replica's own clock: another one, and how far it is ahead of that (negative: behind)."""

    def __init__(self, true: Clock, ahead: timedelta = timedelta(0)) -> None:
        self.true = true
        self.ahead = ahead

    def now(self) -> datetime:
        return self.true.now() + self.ahead


def put_on_clocks(store: StoreT, server: ServerClock, client: Clock | None = None) -> StoreT:
    """Make a store that has not been used yet live by these clocks, and return it.

    Without ``client``, the store's own clock agrees with the server's.
    """
    runner = store._runner
    runner.library = clocked(runner.library)
    store._opening = runner._opening = Opening(
        store.config, clustered=runner.connection.clustered, now=(client or server).now
    )
    return store


def clocked(library: Library) -> Library:
    """Return the scripts with their clock read from the key that `ServerClock` sets."""
    return {name: _clocked(script) for name, script in library.items()}


def _clocked(script: Script) -> Script:
    text, replaced = _BLOCK.subn(_FROM_KEY, script.text)
    if not replaced and "'TIME'" in text:
        raise AssertionError(f"{script.name}.lua reads the clock outside of the shared block")
    return Script.of(script.name, text)
