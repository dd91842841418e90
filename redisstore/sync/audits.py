"""Checking and carrying over a whole store, for threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from redisstore.calls import audit, imports
from redisstore.calls.audit import Fault
from redisstore.calls.handled import Handled
from redisstore.calls.imports import Verdict
from redisstore.entry import SessionEntry
from redisstore.errors import InvalidInput, RedisStoreError
from redisstore.keys import SessionKey
from redisstore.server_info import ServerInfo, ServerNode
from redisstore.sync.base import StoreBase

_KEYS_A_ROUND = 100


class AuditOperations(StoreBase):
    """What ``SessionStore`` can do with the store as a whole."""

    def import_sessions(
        self,
        entries: Iterable[SessionEntry],
        *,
        handled: Mapping[SessionKey, Handled] | None = None,
    ) -> Iterator[tuple[SessionEntry, Verdict | InvalidInput]]:
        """Take in entries from elsewhere, as you iterate; yield each with what became of it.

        An entry keeps its times; ``version`` is the store's. What is stored already stays unless
        the entry was active later, so a repeated import changes nothing. An entry that can't be
        stored is yielded with its ``InvalidInput``, and the others go on. ``handled``: of each
        session, the messages it has handled; they are added to those that are known here, also to
        a session that stays, and are forgotten ``config.message_id_ttl`` after they were done.
        One round trip for 200 entries, three where there are several partitions, and one more where
        any has handled messages; none before you iterate,
        and none for the entries of later round trips when you stop.

        ``redis-cli ZCARD '{redisstore}:updated_at'``
        """
        return self._sweep(lambda c: imports.sweep(c, entries, handled), create=True)

    def audit(self, *, repair: bool = False) -> Iterator[Fault]:
        """Yield, looking as you iterate, all that is not as it should be: entries, indexes, turns.

        ``repair`` puts the indexes right, as far as you iterate: ``list(store.audit(repair=True))``
        does all. A damaged entry itself is left for ``delete_session``.
        Safe beside live traffic; reads the whole store, in short calls (SCAN, then one round trip
        for each 100 keys).

        ``redis-cli --eval lua/audit_index.lua '{redisstore}:' '{redisstore}:updated_at' , 0 100``
        """
        context = self.layout()
        if context is None:
            return
        batch: list[bytes] = []
        endings: set[bytes] = set()
        for key in self._runner.scan(audit.pattern(context)):
            batch.append(key)
            endings |= audit.endings([key])
            if len(batch) == _KEYS_A_ROUND:
                for fault in self._runner.drive(audit.keys(context, batch, repair=repair)):
                    yield fault
                batch = []
        for fault in self._runner.drive(audit.keys(context, batch, repair=repair)):
            yield fault
        for fault in self._runner.drive(audit.shared_ids(context, endings, repair=repair)):
            yield fault
        for fault in self._runner.drive(audit.indexes(context, repair=repair)):
            yield fault

    def list_servers(self) -> Iterator[tuple[ServerNode, ServerInfo | RedisStoreError]]:
        """Ask each server, on Cluster every master and replica, what it is and how it keeps data.

        Masters come first. One that can't be asked is yielded with its error: ``StoreRefused``, or
        ``StoreUnavailable`` after ``config.deadline``. One round trip a server, no CONFIG; through
        Sentinel, the master alone.

        ``redis-cli INFO persistence``
        """
        return self._runner.servers()
