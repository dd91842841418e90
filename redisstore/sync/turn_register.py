"""The turns of one store, for threads: those that run, those that wait, what looks after them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from redisstore.calls import leases, sessions, turns
from redisstore.calls.call import Conditions, Context, Lease, Steps, one
from redisstore.calls.counters import Counters
from redisstore.calls.drain import CUT, Drained
from redisstore.calls.turn_replies import Abandoned, Ended, Recovered, Running
from redisstore.calls.turns import CLAIM_SECONDS, LOOK_SLACK, Request
from redisstore.entry import SessionEntry
from redisstore.errors import (
    DuplicateMessage,
    RedisStoreError,
    ReplicaDraining,
    StoreUnavailable,
    TurnBusy,
    TurnLost,
)
from redisstore.keys import Partition, SessionKey
from redisstore.sync.base import Complete
from redisstore.sync.keeper import Keeper

if TYPE_CHECKING:
    from redisstore.sync.turn import Turn

NO_MORE = "this store begins no more turns"
_log = logging.getLogger(__name__)


class TurnRegister:
    """Begins and ends turns, renews those that run, and sees that a lane handed over is claimed."""

    def __init__(
        self,
        complete: Complete,
        partition_of: Callable[[SessionKey], Partition],
        ttl: float,
    ) -> None:
        self._complete = complete
        self._partition_of = partition_of
        self._keeper: Keeper[Lease] = Keeper("turns", self._renew, ttl)
        self._changed = threading.Condition()
        self._waiting: dict[str, Request] = {}
        self._running: dict[str, Turn] = {}
        self._looks: dict[Partition, threading.Timer] = {}
        self._handed_since: set[Partition] = set()
        self._draining = False
        self._closed = False

    @property
    def counts(self) -> tuple[int, int]:
        """How many turns run, and how many begin or wait."""
        with self._changed:
            return len(self._running), len(self._waiting)

    @property
    def draining(self) -> bool:
        """Whether it begins no more turns."""
        return self._draining

    def begin(self, turn: Turn) -> None:
        """Begin a turn; what was sent in vain is given up."""
        wanted = turn.wanted
        with self._changed:
            if self._draining:
                raise ReplicaDraining(NO_MORE)
            self._waiting[wanted.token] = wanted
        begun: tuple[Running, float] | None = None
        try:
            begun = self._complete(lambda c: turns.begin(c, wanted), create=True)
        except (DuplicateMessage, TurnBusy):
            raise
        except TurnLost as lost:
            if self._draining:
                raise ReplicaDraining(NO_MORE) from lost
            raise
        except StoreUnavailable:
            # It may have arrived all the same. Not to double the time that the caller waits:
            threading.Thread(target=self._abandon, args=(wanted,), daemon=True).start()
            raise
        except BaseException:
            self._abandon(wanted)
            raise
        finally:
            with self._changed:
                del self._waiting[wanted.token]
                # A drain sees it in one place or the other.
                if begun is not None and not self._draining:
                    turn.take_begun(*begun)
                    self._running[wanted.token] = turn
                    self._keeper.keep(turn.lease, turn)
        if not turn.has_begun:
            self._abandon(wanted)
            raise ReplicaDraining(NO_MORE)

    def update(
        self, turn: Turn, last_prompt_tokens: int | None, counters: Counters
    ) -> SessionEntry | None:
        """Make a fenced write."""
        key, conditions = turn.session_key, Conditions(if_turn=turn)

        def steps(context: Context) -> Steps[SessionEntry | None]:
            return one(sessions.update(context, key, last_prompt_tokens, counters, conditions))

        try:
            entry: SessionEntry | None = self._complete(steps)
        except TurnLost:
            turn.tell_lost()
            raise
        return entry

    def end(self, turn: Turn, last_prompt_tokens: int | None, counters: Counters) -> Ended:
        """End a turn well."""
        lease = turn.lease
        try:
            ended: Ended = self._complete(
                lambda c: turns.end(c, lease, last_prompt_tokens, counters)
            )
        except TurnLost:
            turn.tell_lost()
            raise
        turn.ended = True
        self.forget(turn)
        if ended.handed:
            self._expect_claim(self._partition_of(turn.session_key))
        return ended

    def give_up(self, turn: Turn, reason: str = "") -> Abandoned:
        """Give a running turn up."""
        self.forget(turn)
        turn.ended = turn.ended or not reason
        return self._give_up(turn.wanted, reason)

    def forget(self, turn: Turn) -> None:
        """Stop renewing a turn."""
        self._keeper.forget(turns.lease_of(turn.wanted, turn.begun), turn)
        with self._changed:
            self._running.pop(turn.token, None)
            self._changed.notify_all()

    def drain(self, grace: float) -> Drained:
        """Begin no more turns, send those that wait away, and cut what does not end in time."""
        with self._changed:
            self._draining = True
            waiting = list(self._waiting.values())
        sent_away = [self._give_up(wanted, wake=True) for wanted in waiting]
        with self._changed:
            before = len(self._running)
            self._changed.wait_for(lambda: not self._running, grace)
            cut = list(self._running.values())
        for turn in cut:
            self._cut(turn)
        return Drained(
            finished=before - len(cut),
            sent_away=sum(away.was == "waiting" for away in sent_away),
            cut=tuple(turn.session_key for turn in cut),
        )

    def _cut(self, turn: Turn) -> None:
        try:
            self.give_up(turn, CUT)
        except RedisStoreError as failure:
            _log.warning("%s was not cut and will lapse: %s", turn, failure)
        turn.tell_lost()

    def close(self) -> None:
        """Stop renewing and looking. What still runs lapses by itself."""
        self._keeper.close()
        with self._changed:
            self._closed = True
            looks = list(self._looks.values())
            self._looks.clear()
        for look in looks:
            look.cancel()

    def _give_up(self, wanted: Request, reason: str = "", *, wake: bool = False) -> Abandoned:
        abandoned: Abandoned = self._complete(lambda c: turns.give_up(c, wanted, reason, wake=wake))
        if abandoned.handed:
            self._expect_claim(self._partition_of(wanted.session_key))
        return abandoned

    def _abandon(self, wanted: Request) -> None:
        try:
            self._give_up(wanted)
        except RedisStoreError as failure:
            _log.debug("%s was not abandoned and will lapse: %s", wanted.token, failure)

    def _renew(self, held: Sequence[Lease]) -> Mapping[Lease, datetime | None]:
        try:
            found: Mapping[Lease, datetime | None] = self._complete(lambda c: leases.renew(c, held))
        except RedisStoreError:
            parts = self._by_partition(held)
            if len(parts) == 1:
                raise
            # A partition that can't be reached must not cost the turns of the others.
            found = {}
            for part in parts:
                found = {**found, **self._renew_part(part)}
        return found

    def _renew_part(self, part: Sequence[Lease]) -> Mapping[Lease, datetime | None]:
        try:
            found: Mapping[Lease, datetime | None] = self._complete(lambda c: leases.renew(c, part))
        except RedisStoreError as failure:
            _log.warning("%d turns were not renewed: %s", len(part), failure)
            for lease in part:
                if turn := self._running.get(lease.token):
                    turn.not_renewed()
            return {}
        return found

    def _by_partition(self, held: Sequence[Lease]) -> list[list[Lease]]:
        parts: dict[Partition, list[Lease]] = {}
        for lease in held:
            parts.setdefault(self._partition_of(lease.session_key), []).append(lease)
        return list(parts.values())

    # Whoever hands a lane over looks, when the time to claim it is up, whether it was claimed:
    # the one it was given to may have died. One look a partition and period serves all.

    def _expect_claim(self, home: Partition) -> None:
        with self._changed:
            if self._closed:
                return
            if home in self._looks:
                self._handed_since.add(home)
                return
            look = threading.Timer(CLAIM_SECONDS + LOOK_SLACK, self._look, (home,))
            look.daemon = True
            self._looks[home] = look
        look.start()

    def _look(self, home: Partition) -> None:
        with self._changed:
            if self._looks.pop(home, None) is None:
                return  # closed
            again = home in self._handed_since
            self._handed_since.discard(home)
        try:
            found: Recovered = self._complete(lambda c: leases.recover(c, home))
            again |= found.handed
        except RedisStoreError as failure:
            _log.warning("a lane that was handed over may be unclaimed: %s", failure)
            again = True
        if again:
            self._expect_claim(home)
