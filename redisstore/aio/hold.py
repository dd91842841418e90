"""Process holds that renew themselves, for asyncio; see ``redisstore/sync/hold.py``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from redisstore import fork
from redisstore.aio.keeper import AsyncKeeper
from redisstore.calls.callbacks import check_plain
from redisstore.calls.holds import Hold
from redisstore.errors import RedisStoreError

if TYPE_CHECKING:
    from redisstore.aio.holds import HoldOperations

_log = logging.getLogger(__name__)

AsyncOnLost = Callable[["AsyncProcessHold"], None]


class AsyncProcessHold:
    """A hold on a session for as long as an ``async with`` block runs.

    ``lost`` turns true when a renewal finds the session deleted; ``on_lost`` is then called in
    the event loop. A hold that lapsed while Redis was away is taken again by the next renewal.
    """

    def __init__(
        self,
        store: HoldOperations,
        keeper: AsyncKeeper[Hold],
        hold: Hold,
        on_lost: AsyncOnLost | None,
    ) -> None:
        check_plain("on_lost", on_lost)
        self.session_key, self.process_id = hold
        self.lapses_at: datetime | None = None
        self.lost = False
        self._store = store
        self._keeper = keeper
        self._hold = hold
        self._on_lost = on_lost
        self._generation = fork.generation

    async def __aenter__(self) -> Self:
        self._generation = fork.generation
        self.lapses_at = await self._store.take_hold(*self._hold)
        self._keeper.keep(self._hold, self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._generation != fork.generation:
            return
        if not await self._keeper.drop(self._hold, self):
            return
        try:
            await self._store.release_hold(*self._hold)
        except RedisStoreError as failure:
            _log.warning("%s was not released and will lapse: %s", self, failure)

    def renewed(self, lapses_at: datetime | None, _asked_at: float) -> None:
        """Take in what a renewal found; ``None``: the session is gone."""
        if lapses_at is not None:
            self.lapses_at = lapses_at
        elif not self.lost:
            self.lost = True
            _log.warning("%s is lost: its session was deleted", self)
            if self._on_lost is not None:
                try:
                    self._on_lost(self)
                except Exception:  # noqa: BLE001 - the renewing task serves other holds too
                    _log.exception("the on_lost callback of %s failed", self)

    def not_renewed(self) -> None:
        """Take in that a renewal failed. A hold that lapses so is taken anew by the next."""

    def __repr__(self) -> str:
        return f"<hold of process {self.process_id!r} on {self.session_key!r}>"
