"""Process holds that renew themselves, for asyncio; see ``redisstore/sync/hold.py``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from redisstore.calls.holds import Hold
from redisstore.errors import RedisStoreError
from redisstore.sync.hold import LONGEST_RETRY

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
        keeper: AsyncHoldKeeper,
        hold: Hold,
        on_lost: AsyncOnLost | None,
    ) -> None:
        self.session_key, self.process_id = hold
        self.lapses_at: datetime | None = None
        self.lost = False
        self._store = store
        self._keeper = keeper
        self._hold = hold
        self._on_lost = on_lost

    async def __aenter__(self) -> Self:
        self.lapses_at = await self._store.take_hold(*self._hold)
        self._keeper.keep(self._hold, self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not await self._keeper.drop(self._hold, self):
            return
        try:
            await self._store.release_hold(*self._hold)
        except RedisStoreError as failure:
            _log.warning("%s was not released and will lapse: %s", self, failure)

    def renewed(self, lapses_at: datetime | None) -> None:
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

    def __repr__(self) -> str:
        return f"<hold of process {self.process_id!r} on {self.session_key!r}>"


class AsyncHoldKeeper:
    """Renews all holds of a store together, in one task that runs while there are any."""

    def __init__(
        self,
        renew: Callable[[Sequence[Hold]], Awaitable[Mapping[Hold, datetime | None]]],
        ttl: float,
    ) -> None:
        self._renew = renew
        self._interval = ttl / 3
        self._held: dict[Hold, list[AsyncProcessHold]] = {}
        self._task: asyncio.Task[None] | None = None
        self._renewing = asyncio.Lock()
        """Held during a renewal, so that none overtakes a release and takes the hold again."""

    def keep(self, hold: Hold, holder: AsyncProcessHold) -> None:
        """Renew a hold from now on."""
        self._held.setdefault(hold, []).append(holder)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="redisstore-holds")

    async def drop(self, hold: Hold, holder: AsyncProcessHold) -> bool:
        """Stop renewing for one holder; true if it was the last of this hold, and not lost."""
        # Before the first wait: a block that is cancelled must not be renewed for ever.
        holders = self._held.get(hold, [])
        if holder not in holders:
            return False
        holders.remove(holder)
        if holders:
            return False
        del self._held[hold]
        async with self._renewing:
            return True

    async def close(self) -> None:
        """Stop renewing."""
        self._held.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        pause = self._interval
        while self._held:
            await asyncio.sleep(pause)
            renewed = await self._renew_all()
            pause = self._interval if renewed else min(self._interval, LONGEST_RETRY)

    async def _renew_all(self) -> bool:
        async with self._renewing:
            held = list(self._held)
            try:
                found = await self._renew(held) if held else {}
            except RedisStoreError as failure:
                _log.warning("%d process holds were not renewed: %s", len(held), failure)
                return False
            except Exception:  # noqa: BLE001 - nobody else would see it, and the holds would lapse
                _log.exception("%d process holds were not renewed", len(held))
                return False
            holders = [(h, found[hold]) for hold in found for h in self._held.get(hold, [])]
            for hold, lapses_at in found.items():
                if lapses_at is None:
                    self._held.pop(hold, None)
        for holder, lapses_at in holders:
            holder.renewed(lapses_at)
        return True
