# Written by `make twins` from redisstore/sync/sweeps.py: edit that one.
"""Operations that look at many sessions, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime

from redisstore.aio.base import StoreBase
from redisstore.calls import handled, listing, prune, recovery
from redisstore.calls.handled import Handled
from redisstore.calls.listing import Counts, Only
from redisstore.calls.prune import PruneBatch, PruneReport
from redisstore.entry import SessionEntry
from redisstore.errors import CorruptEntry
from redisstore.keys import SessionId


class SweepOperations(StoreBase):
    """What ``AsyncSessionStore`` can do with many sessions; each says what it costs."""

    def list_sessions(
        self,
        active_minutes: float | None = None,
        limit: int | None = None,
        *,
        only: Only | None = None,
        on_damaged: Callable[[CorruptEntry], None] = listing.log_damaged,
    ) -> AsyncIterator[SessionEntry]:
        """Yield sessions, newest first, fetched as you go: one round trip a page and partition.

        With a ``limit`` and without ``only``, one for up to 20 pages of each.

        ``active_minutes``: only those active within. ``only``: ``"suspended"``,
        ``"resume_pending"`` or ``"active"`` (held by a live process). What is touched meanwhile may
        be missed or repeated. An entry that can't be read goes to ``on_damaged`` instead.

        ``redis-cli ZREVRANGE '{redisstore}:updated_at' 0 9 WITHSCORES``
        """
        found = self._sweep(
            lambda c: listing.newest_first(c, active_minutes=active_minutes, limit=limit, only=only)
        )
        return _readable(found, on_damaged)

    def export_sessions(
        self, *, on_damaged: Callable[[CorruptEntry], None] = listing.log_damaged
    ) -> AsyncIterator[tuple[SessionEntry, Handled]]:
        """Yield all sessions, newest first, each with the messages it has handled, and when.

        ``import_sessions`` takes both in. What is touched meanwhile may be missed or repeated. What
        can't be read goes to ``on_damaged``: an entry, or the messages of one that is yielded
        without. One round trip a page and partition, and one for the messages of each 100 sessions,
        more where these are more than 500 in a partition.

        ``redis-cli ZRANGE '{redisstore}:seen:agent:main:telegram:dm:42' 0 -1 WITHSCORES``
        """
        return self._sweep(lambda c: handled.sessions(c, on_damaged))

    async def lookup_by_session_id(self, session_id: SessionId) -> SessionEntry | None:
        """Return the session bound to an id; of several, the latest active one.

        Asks all partitions, in one pipeline.

        ``redis-cli HGETALL '{redisstore}:session_ids:<last three characters of the id>'``
        """
        found = await self._run_all(lambda c: listing.lookup(c, session_id))
        return listing.latest(found)

    async def count(self) -> Counts:
        """Count sessions, held, with a deadline and past it. Asks all partitions, in one pipeline.

        ``redis-cli ZCARD '{redisstore}:updated_at'``
        """
        found = await self._run_all(listing.counts)
        return sum(found, start=Counts())

    async def count_sessions(self) -> int:
        """Return how many sessions there are. Asks all partitions, in one pipeline.

        ``redis-cli ZCARD '{redisstore}:updated_at'``
        """
        counts = await self.count()
        return counts.sessions

    async def has_any_sessions(self) -> bool:
        """Return whether there is any session. Asks all partitions, in one pipeline.

        ``redis-cli EXISTS '{redisstore}:updated_at'``
        """
        counts = await self.count()
        return counts.sessions > 0

    async def prune_old_entries(
        self,
        max_age_days: float | None = None,
        *,
        before: datetime | None = None,
        dry_run: bool = False,
        on_batch: Callable[[PruneBatch], None] | None = None,
    ) -> PruneReport:
        """Remove sessions whose last activity is older than a cutoff; ``int(report)`` went.

        The cutoff is ``before`` (aware), else ``max_age_days`` ago by the server's clock, else
        ``config.session_store_max_age_days``; 0 or less switches pruning off. Suspended sessions
        and those that a live process holds, or a turn, stay. ``dry_run`` changes nothing. One round
        trip for each batch of ``config.prune_batch_size``, partition after partition;
        ``on_batch`` is told of each, with the keys removed.

        ``redis-cli --eval lua/prune.lua '{redisstore}:' '{redisstore}:updated_at' ,``
        ``'' 7776000000 100 0 1`` (a dry run of 90 days)
        """
        report = PruneReport(dry_run=dry_run)
        async for batch in self._sweep(
            lambda c: prune.sweep(c, max_age_days=max_age_days, before=before, dry_run=dry_run)
        ):
            report = report.plus(batch)
            if on_batch is not None:
                on_batch(batch)
        return report

    async def suspend_recently_active(self, max_age_seconds: float = 120) -> int:
        """After a crash: mark as ``resume_pending`` what this replica handled last, and count it.

        Only sessions active within ``max_age_seconds`` whose last message ``config.replica``
        handled, or a replica that ``list_replicas`` shows as dead; the reason is
        ``restart_interrupted``. Suspended and marked ones are passed over, and so are those with a
        running turn. One round trip for the list of replicas, then one for each 100 recent
        sessions, partition after partition.

        ``redis-cli HMGET '{redisstore}:entry:agent:main:telegram:dm:42' replica resume_pending``
        """
        marked = 0
        async for batch in self._sweep(
            lambda c: recovery.suspend_recently_active(c, max_age_seconds)
        ):
            marked += batch
        return marked


async def _readable(
    found: AsyncIterator[SessionEntry | CorruptEntry], on_damaged: Callable[[CorruptEntry], None]
) -> AsyncIterator[SessionEntry]:
    async for item in found:
        if isinstance(item, CorruptEntry):
            on_damaged(item)
        else:
            yield item
