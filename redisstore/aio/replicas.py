# Written by `make twins` from redisstore/sync/replicas.py: edit that one.
"""Replicas and the maintenance that they share, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator

from redisstore.aio.maintenance import AsyncMaintenance, AsyncOnExpired
from redisstore.aio.turns import TurnOperations
from redisstore.calls import replicas
from redisstore.calls.replicas import Replica


class ReplicaOperations(TurnOperations):
    """What ``AsyncSessionStore`` can do to be one of many."""

    def list_replicas(self) -> AsyncIterator[Replica]:
        """Yield the replicas that run maintenance, and what each is at; a day long also the dead.

        Those whose heartbeat lapses, or lapsed, first are in front. One round trip for each 100.

        ``redis-cli ZRANGE '{redisstore}:replicas' 0 -1 WITHSCORES``
        """
        return self._sweep(replicas.sweep)

    def maintenance(self, on_expired: AsyncOnExpired | None = None) -> AsyncMaintenance:
        """Be a replica that others can count on: an ``async with`` block, for as long as you serve.

        While the block runs, this replica sends heartbeats and does its share of what all replicas
        see to together, each job by one of them at a time: every second it looks after turns whose
        replica died (``recover_turns``), every hour it prunes (``prune_old_entries``).

        With ``on_expired`` it also closes sessions whose reset-policy deadline has passed: each is
        claimed, handed to the callback, and marked ``expiry_finalized``. That is done at least
        once, by one replica at a time; a session that a process holds or that is in a turn has to
        wait, one that goes on meanwhile stays open. A callback that raises is tried again after
        ``config.finalize_claim_ttl``; after ``config.finalize_attempts`` tries the session is
        marked all the same, with the error in ``finalize_error``. ``ExpiredSession.key`` tells a
        repetition. Callbacks are run one after the other.

        Redis being away is logged, and survived. At the end, what was claimed and not begun is
        given back, the callback that runs is waited for, and the replica leaves the list.

        ``redis-cli HGETALL '{redisstore}:job:prune'``

        """
        return AsyncMaintenance(self._complete, self._turns, self.config, on_expired)
