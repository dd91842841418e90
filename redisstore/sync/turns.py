"""Turns, for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from redisstore.calls import handled, leases, messages, revocation, running_turns, turns
from redisstore.calls.call import HasLease
from redisstore.calls.drain import Drained, checked_grace
from redisstore.calls.handled import Handled
from redisstore.calls.running_turns import RunningTurn
from redisstore.config import StoreConfig
from redisstore.connect import Connection, SyncClient
from redisstore.keys import SessionKey
from redisstore.source import SessionSource
from redisstore.sync.base import StoreBase
from redisstore.sync.turn import Turn
from redisstore.sync.turn_register import TurnRegister


class TurnOperations(StoreBase):
    """What ``SessionStore`` can do with turns: one message at a time for each session."""

    def _set_up(self, connection: Connection[SyncClient], config: StoreConfig) -> None:
        super()._set_up(connection, config)
        self._turns = TurnRegister(self._complete, self._space, config.turn_lease_ttl)

    def close(self) -> None:
        """Close the store, for good: what is called then raises ``StoreClosed``.

        Turns that wait are given up, and raise it too; those that run lapse by themselves. Renewals
        end, and the connections are closed, except those of a client that was given.
        """
        try:
            self._turns.close()
        finally:
            super().close()

    def turn(
        self,
        source: SessionSource,
        message_id: str | None = None,
        wait: float | None = None,
        *,
        session_key: SessionKey | None = None,
        on_lost: Callable[[Turn], None] | None = None,
    ) -> Turn:
        """Handle one message: a ``with`` block in which the session is this turn's alone.

        Entering resolves the session as ``get_or_create_session`` does, and takes its lease. While
        another turn has it, on whichever replica, this one waits in line: for ``wait`` seconds, by
        default ``config.turn_wait``; 0: not at all. Leaving ends the turn; leaving by an exception
        gives it up, and the message may be delivered again. A turn that does not get that far, for
        its replica died, is found when its lease lapses: the session is marked ``resume_pending``
        with the reason ``replica_lost``, and the message may be delivered again.

        ``message_id`` is the platform's; with it, what is delivered twice is handled once.
        ``session_key``: the lane, where it is another than ``build_session_key`` makes.
        ``on_lost``, a plain function, is called by whatever renews if the turn loses its session
        while it runs; it may start a task. A turn is entered once (``RuntimeError``). One round
        trip to begin and one to end; one more each if other lanes share the session id.

        Entering raises:
            DuplicateMessage: the message was handled, or is being handled; see its ``state``.
            TurnBusy: another turn had the session for all that time, or too many wait.
            ReplicaDraining: this store was told to ``drain``.

        ``redis-cli HGETALL '{redisstore}:turn:agent:main:telegram:dm:42'``

        """
        wanted = turns.request(self._opening.context, source, message_id, wait, session_key)
        return Turn(self._turns, wanted, self.config.turn_lease_ttl, on_lost)

    def take_message(
        self, session_key: SessionKey, message_id: str, *, if_turn: HasLease | None = None
    ) -> bool:
        """Take a message that gets no turn of its own; false if it is known already: leave it then.

        ``if_turn``: the turn that answers it as well; the message is done when that ends, and free
        to be delivered again when it is given up or lost. Without one, as for a command, it is done
        at once. Known is a message that is done, that a turn runs or has taken, or that waits in
        line. A turn takes at most 1000. One round trip.

        Raises:
            TurnLost: the turn had lost its session; the message was not taken.
            StaleWrite: the session was reset or switched meanwhile; the message was not taken.
            StoreUnavailable: it may have been taken all the same; asked again, that tells false.

        ``redis-cli ZSCORE '{redisstore}:seen:agent:main:telegram:dm:42' m-2``

        """
        return self._run(lambda c: messages.take(c, session_key, message_id, if_turn))

    def handled_messages(self, session_key: SessionKey) -> Handled:
        """Return the ids of the messages that a session has handled, by turns or as commands.

        Each with when it was done, the latest first; each is known for ``config.message_id_ttl``
        after that. Empty for an unknown session. One round trip for each 500.

        Raises:
            CorruptEntry: they were damaged by hand.

        ``redis-cli ZRANGE '{redisstore}:seen:agent:main:telegram:dm:42' 0 -1 WITHSCORES``

        """
        return self._complete(lambda c: handled.of(c, session_key))

    def list_turns(self) -> Iterator[RunningTurn]:
        """Yield the turns that run, on whichever replica; those whose lease lapses first in front.

        One round trip for each 100 in a partition.

        ``redis-cli ZRANGE '{redisstore}:turns' 0 -1 WITHSCORES``
        """
        return self._sweep(running_turns.sweep)

    def revoke_turn(self, session_key: SessionKey, token: str, *, handled: bool = False) -> bool:
        """Take a session from a turn that hangs, on whichever replica; false if it has it no more.

        Its lease is renewed as long as its process lives, so it never lapses by itself. ``token``:
        of that very turn, as ``list_turns`` has it; one that began meanwhile is left alone. From
        now on what it writes raises ``TurnLost``; its handler is not stopped, and what that does
        elsewhere only ``turn.fence`` can stop. The session goes to the next in line.

        Its messages are free to be delivered again, and the session is marked ``resume_pending``,
        reason ``turn_revoked``: nothing is lost, and at worst a message is answered twice. With
        ``handled`` they count as done, for a message that makes each handler hang, or is known to
        have been answered. One round trip; one more if other lanes share the session id.

        ``redis-cli HGET '{redisstore}:turn:agent:main:telegram:dm:42' token``
        """
        return self._complete(lambda c: revocation.revoke(c, session_key, token, handled=handled))

    def recover_turns(self) -> int:
        """Look after turns whose lease has lapsed, on whichever replica; return how many were lost.

        Their sessions are marked ``resume_pending``, reason ``replica_lost``; one that this happens
        to ``config.suspend_after_interruptions`` times in a row is suspended. Their lanes go to the
        next in line. ``maintenance`` does it every second. One round trip a partition, pipelined.

        ``redis-cli ZRANGEBYSCORE '{redisstore}:turns' -inf 1763810553123``
        """
        found = self._complete(leases.recover_all)
        return len(found)

    def drain(self, grace: float = 30.0) -> Drained:
        """Before a shutdown: begin no more turns, and wait for those that run, ``grace`` seconds.

        Turns of this store that still wait are sent away at once (``ReplicaDraining``): their
        messages are free for other replicas. What has not ended in time is cut: its session is
        marked ``resume_pending``, reason ``restart_timeout``, and whatever it still writes is
        refused. One round trip for each turn that is sent away or cut.

        ``redis-cli ZRANGE '{redisstore}:turns' 0 -1 WITHSCORES``
        """
        return self._turns.drain(checked_grace(grace))
