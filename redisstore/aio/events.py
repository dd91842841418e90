# Written by `make twins` from redisstore/sync/events.py: edit that one.
"""What happened to sessions, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator

from redisstore.aio.base import StoreBase
from redisstore.calls import event_groups, events
from redisstore.calls.event import Event
from redisstore.calls.event_groups import EventGroup
from redisstore.calls.events import Since


class EventOperations(StoreBase):
    """How ``AsyncSessionStore`` tells what happened."""

    def events(
        self,
        *,
        since: Since = "now",
        group: str | None = None,
        consumer: str | None = None,
        claim_after: float = 60.0,
        idle_timeout: float | None = None,
    ) -> AsyncIterator[Event]:
        """Yield what happens to sessions, on whichever replica, as it happens.

        ``since``: ``"now"``, which is when the first event is asked for; ``"oldest"``, all that is
        kept; or the ids of events that were handled, the last of each partition: what came after
        them, and all of partitions that have none among them. Ends after ``idle_timeout`` seconds
        without an event (0: what there is), else not before the store is closed.

        With a ``group`` each event goes to one of the group's consumers, and a new group begins at
        ``since``. An event is acknowledged when its consumer comes back for the next one; if it
        doesn't for ``claim_after`` seconds, another gets the event. So each comes at least once;
        ``id`` tells a repetition. ``consumer`` is a name that no other uses at the same time and
        that is kept over a restart, by default ``config.replica``.

        A session's events come in order, unless its group has several consumers; there is no order
        among partitions. About ``config.events_kept`` of each partition are kept: who falls behind
        gets an event of kind ``gap`` in the place of what is lost (rarely, of nothing).

        Raises ``StoreUnavailable`` where Redis is away: go on with ``since``, or with the group.

        A look asks each partition, in one pipeline, for 100 events (a group: 10, and one round trip
        more to acknowledge each). While nothing comes, there are pauses between looks, of 50 ms
        growing to a second: so an idle reader costs a script call a second and partition.

        ``redis-cli XRANGE '{redisstore}:events' - + COUNT 10``

        """
        name = self.config.replica if consumer is None else consumer
        wanted = events.wanted(since, idle_timeout, group, name, claim_after)
        return self._runner.watch(events.sweep(self._opening, wanted))

    async def list_event_groups(self) -> list[EventGroup]:
        """List the groups that read the events, and how far each is, partition by partition.

        Asks all partitions, in one pipeline.

        ``redis-cli XINFO GROUPS '{redisstore}:events'``
        """
        found = await self._run_all(event_groups.listed)
        return [group for page in found for group in page]
