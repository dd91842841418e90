"""Process holds, for threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from redisstore.calls import holds
from redisstore.calls.holds import Hold
from redisstore.config import StoreConfig
from redisstore.connect import Connection, SyncClient
from redisstore.keys import SessionKey
from redisstore.sync.base import StoreBase
from redisstore.sync.hold import OnLost, ProcessHold
from redisstore.sync.keeper import Keeper


class HoldOperations(StoreBase):
    """What ``SessionStore`` can do with process holds."""

    def _set_up(self, connection: Connection[SyncClient], config: StoreConfig) -> None:
        super()._set_up(connection, config)
        self._keeper = Keeper("holds", self.renew_holds, config.process_hold_ttl)

    def close(self) -> None:
        """Stop renewing holds and close the connections. What is still held lapses by itself."""
        try:
            self._keeper.close()
        finally:
            super().close()

    def hold_process(
        self, session_key: SessionKey, process_id: str, *, on_lost: OnLost | None = None
    ) -> ProcessHold:
        """Hold a session while a ``with`` block runs, renewed in the background.

        A held session is neither pruned nor reset by policy. A hold that is not renewed lapses
        after ``config.process_hold_ttl`` seconds, so a dead replica pins nothing for long.
        ``process_id`` names one process among all replicas: two that use the same share one hold.
        ``on_lost``, a plain function, is called by whatever renews if the session was deleted.
        Entering raises ``NoSuchSession`` for an unknown key.

        ``redis-cli ZRANGE '{redisstore}:active' 0 -1 WITHSCORES``
        """
        hold = holds.checked(self._opening.context, session_key, process_id)
        return ProcessHold(self, self._keeper, hold, on_lost)

    def take_hold(
        self, session_key: SessionKey, process_id: str, *, ttl: float | None = None
    ) -> datetime:
        """Take a hold, or renew it, and return when it lapses. Raises ``NoSuchSession``.

        ``ttl`` is in seconds, at most 3600; without it, ``config.process_hold_ttl``.

        ``redis-cli ZRANGE '{redisstore}:holds:agent:main:telegram:dm:42' 0 -1 WITHSCORES``
        """
        return self._run(lambda c: holds.take(c, holds.checked(c, session_key, process_id), ttl))

    def renew_holds(self, held: Iterable[Hold]) -> Mapping[Hold, datetime | None]:
        """Renew many holds; a value is ``None`` where the session is gone.

        A hold that can't be renewed because its key was damaged by hand is left out.
        200 a script call, all in one pipeline.

        ``redis-cli ZRANGE '{redisstore}:active' 0 -1 WITHSCORES``
        """
        pairs = list(held)
        found = self._run_all(lambda c: holds.renew(c, pairs))
        return {hold: lapses for part in found for hold, lapses in part.items()}

    def release_hold(self, session_key: SessionKey, process_id: str) -> bool:
        """Give a hold up; false if there was none, or it had lapsed.

        ``redis-cli ZRANGE '{redisstore}:holds:agent:main:telegram:dm:42' 0 -1 WITHSCORES``
        """
        return self._run(lambda c: holds.release(c, holds.checked(c, session_key, process_id)))

    def list_holds(self, session_key: SessionKey) -> Mapping[str, datetime]:
        """Return the live holds of a session: process id, and when it lapses.

        ``redis-cli ZRANGE '{redisstore}:holds:agent:main:telegram:dm:42' 0 -1 WITHSCORES``
        """
        return self._run(lambda c: holds.listed(c, session_key))
