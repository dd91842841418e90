# Written by `make twins` from redisstore/sync/drops.py: edit that one.
"""Removing a whole store, for asyncio."""

from __future__ import annotations

from collections.abc import Callable

from redisstore.aio.base import StoreBase
from redisstore.calls import audit, dropping
from redisstore.calls.call import Context
from redisstore.errors import StoreInUse

_KEYS_A_ROUND = 100
_PASSES = 10
"""How often one looks for keys at most; the last look has to find none."""


class DropOperations(StoreBase):
    """What ``AsyncSessionStore`` can do to end a store."""

    async def drop(
        self, *, force: bool = False, on_removed: Callable[[int], None] | None = None
    ) -> int:
        """Remove every key of this namespace, and no other; return how many there were.

        Stop the gateways first: what they write meanwhile may be removed, or be the beginning of a
        new store. ``on_removed`` is told after each round how many are gone, and at the end. The
        layout record goes last: a drop that was interrupted is finished by another. Reads all key
        names of the database twice, in short calls (SCAN, then one round trip for each 100 keys, on
        Cluster one a master).

        Raises:
            StoreInUse: replicas are alive, or turns run; nothing was removed. With ``force`` that
                is not asked. Or keys are written as fast as they are removed.

        ``redis-cli --scan --pattern '{redisstore}:*'``

        """
        context = await self.layout()
        if context is None:
            return 0
        if not force:
            await self._complete(dropping.refuse_if_used)
        removed = 0
        for _ in range(_PASSES):
            before = removed
            removed = await self._look_and_drop(context, removed, on_removed)
            if removed == before:
                break
        else:
            raise StoreInUse(f"{context.space.namespace} is written to: stop what does, drop again")
        last = await self._complete(dropping.finish)
        removed += last
        if on_removed is not None:
            on_removed(removed)
        return removed

    async def _look_and_drop(
        self, context: Context, removed: int, on_removed: Callable[[int], None] | None
    ) -> int:
        batch: list[bytes] = []
        async for key in self._runner.scan(audit.pattern(context)):
            batch.append(key)
            if len(batch) == _KEYS_A_ROUND:
                removed = await self._drop_round(context, batch, removed, on_removed)
                batch = []
        if batch:
            removed = await self._drop_round(context, batch, removed, on_removed)
        return removed

    async def _drop_round(
        self,
        context: Context,
        batch: list[bytes],
        removed: int,
        on_removed: Callable[[int], None] | None,
    ) -> int:
        async for count in self._runner.drive(dropping.removals(context, batch)):
            removed += count
        if on_removed is not None:
            on_removed(removed)
        return removed
