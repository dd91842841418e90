"""What an import puts right in sessions that have the same last activity as in the file.

The gateway suspends, marks and finalizes sessions without activity, so what was imported before is
as new as the row, and yet not the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

from redisstore.aio.store import AsyncSessionStore
from redisstore.calls.amendments import Amendments
from redisstore.errors import InvalidInput, StaleWrite, TurnBusy
from redisstore.keys import SessionKey
from redisstore.sync.store import SessionStore
from redisstore.transfer.comparison import Comparison


class Correction(NamedTuple):
    """What to do to one session, if it is still of the version that was compared."""

    session_key: SessionKey
    changes: Amendments
    suspend: bool
    version: int

    def apply(self, store: SessionStore) -> bool:
        """Say whether it was done: not to a session that has changed meanwhile."""
        version = self.version
        try:
            if self.changes:
                entry = store.amend_session(self.session_key, self.changes, if_version=version)
                if entry is None:
                    return False
                version = entry.version
            if self.suspend:
                return store.suspend_session(self.session_key, if_version=version)
        except (InvalidInput, StaleWrite, TurnBusy):
            return False
        return True

    async def apply_async(self, store: AsyncSessionStore) -> bool:
        """Do what ``apply`` does, for asyncio."""
        version = self.version
        try:
            if self.changes:
                changes = self.changes
                entry = await store.amend_session(self.session_key, changes, if_version=version)
                if entry is None:
                    return False
                version = entry.version
            if self.suspend:
                return await store.suspend_session(self.session_key, if_version=version)
        except (InvalidInput, StaleWrite, TurnBusy):
            return False
        return True


def corrections(compared: Comparison) -> Iterator[Correction]:
    """Yield what can be put right. That a session is not suspended any more can't be."""
    for row, stored, difference in compared.alike:
        names = dict.fromkeys(field.name.partition(".")[0] for field in difference.fields)
        known = [name for name in names if name in Amendments.__annotations__]
        changes = cast("Amendments", {name: getattr(row, name) for name in known})
        suspend = row.suspended and not stored.suspended
        if changes or suspend:
            yield Correction(row.session_key, changes, suspend, stored.version)
