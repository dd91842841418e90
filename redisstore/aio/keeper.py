"""What renews holds and turns while they last, for asyncio; see ``redisstore/sync/keeper.py``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic

from redisstore.errors import RedisStoreError, StoreClosed
from redisstore.sync.keeper import LONGEST_RETRY, Kept, KeyT

_log = logging.getLogger(__name__)


class AsyncKeeper(Generic[KeyT]):
    """Renews all that a store holds of one kind, together, in a task that runs while it does."""

    def __init__(
        self,
        what: str,
        renew: Callable[[Sequence[KeyT]], Awaitable[Mapping[KeyT, datetime | None]]],
        ttl: float,
    ) -> None:
        self._what = what
        self._renew = renew
        self._interval = ttl / 3
        self._held: dict[KeyT, list[Kept]] = {}
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self._renewing = asyncio.Lock()
        """Held during a renewal, so that none overtakes a release and takes it again."""

    def keep(self, key: KeyT, holder: Kept) -> None:
        """Renew for a holder from now on, until this is closed."""
        if self._closed:
            return
        self._held.setdefault(key, []).append(holder)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"redisstore-{self._what}")

    async def drop(self, key: KeyT, holder: Kept) -> bool:
        """Stop renewing for one holder; true if it was the last of its key, and not lost."""
        # Before the first wait: a block that is cancelled must not be renewed for ever.
        if not self.forget(key, holder):
            return False
        async with self._renewing:
            return True

    def forget(self, key: KeyT, holder: Kept) -> bool:
        """Do the same, without waiting for a renewal that is under way."""
        holders = self._held.get(key, [])
        if holder not in holders:
            return False
        holders.remove(holder)
        if not holders:
            del self._held[key]
        return not holders

    async def close(self) -> None:
        """Stop renewing, for good."""
        self._closed = True
        self._held.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])  # which tells a cancellation of the caller from that one

    async def _run(self) -> None:
        pause = self._interval
        while self._held:
            await asyncio.sleep(pause)
            renewed = await self._renew_all()
            pause = self._interval if renewed else min(self._interval, LONGEST_RETRY)

    async def _renew_all(self) -> bool:
        async with self._renewing:
            held = list(self._held)
            asked_at = time.monotonic()
            found = await self._ask(held) if held else {}
            holders = [(h, key) for key in held for h in self._held.get(key, [])]
            for key, lapses_at in (found or {}).items():
                if lapses_at is None:
                    self._held.pop(key, None)
        for holder, key in holders:
            if found is None:
                holder.not_renewed()
            elif key in found:
                holder.renewed(found[key], asked_at)
        return found is not None

    async def _ask(self, held: Sequence[KeyT]) -> Mapping[KeyT, datetime | None] | None:
        try:
            return await self._renew(held)
        except StoreClosed:
            pass  # whoever closed it knows
        except RedisStoreError as failure:
            _log.warning("%d %s were not renewed: %s", len(held), self._what, failure)
        except Exception:  # noqa: BLE001 - nobody else would see it, and all would lapse
            _log.exception("%d %s were not renewed", len(held), self._what)
        return None
