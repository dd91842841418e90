"""The turns of one store, for threads: those that run, those that wait, what looks after them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from redisstore.calls import leases, sessions, turns
from redisstore.calls.call import Conditions, Context, Lease, Steps, one
from redisstore.calls.counters import Counters
from redisstore.calls.drain import CUT, NO_MORE, Drained
from redisstore.calls.turn_replies import Abandoned, Ended, Running
from redisstore.calls.turn_state import TurnState
from redisstore.calls.turns import Request
from redisstore.entry import SessionEntry
from redisstore.errors import (
    DuplicateMessage,
    RedisStoreError,
    ReplicaDraining,
    StoreClosed,
    StoreUnavailable,
    TurnBusy,
    TurnLost,
)
from redisstore.fork import FreshAfterFork
from redisstore.keys import KeySpace, Partition
from redisstore.sync.abandons import Abandons
from redisstore.sync.base import Complete
from redisstore.sync.claim_timers import ClaimTimers
from redisstore.sync.keeper import Keeper

_log = logging.getLogger(__name__)


class TurnRegister(FreshAfterFork):
    """Begins and ends turns, renews those that run, and sees that a lane handed over is claimed."""

    def __init__(
        self,
        complete: Complete,
        space: Callable[[], KeySpace],
        ttl: float,
    ) -> None:
        self._complete = complete
        self._space = space
        self._keeper: Keeper[Lease] = Keeper("turns", self._renew, ttl)
        self._claims = ClaimTimers(complete)
        self._abandons = Abandons(self._abandon)
        self._draining = False
        self._closed = False
        super().__init__()

    def _start_afresh(self) -> None:
        self._changed = threading.Condition()  # of an RLock, for the handlers of signals
        self._waiting: dict[str, Request] = {}
        self._running: dict[str, TurnState] = {}

    @property
    def counts(self) -> tuple[int, int]:
        """How many turns run, and how many begin or wait."""
        with self._changed:
            return len(self._running), len(self._waiting)

    @property
    def draining(self) -> bool:
        """Whether it begins no more turns."""
        return self._draining

    def begin(self, turn: TurnState) -> None:
        """Begin a turn; what was sent in vain is given up."""
        turn.enter()
        wanted = turn.request
        with self._changed:
            if over := self._over():
                raise over
            self._waiting[wanted.token] = wanted
        begun: tuple[Running, float] | None = None
        try:
            begun = self._complete(lambda c: turns.begin(c, wanted), create=True)
        except (DuplicateMessage, TurnBusy, StoreClosed):
            raise
        except TurnLost as lost:
            if over := self._over():
                raise over from lost
            raise
        except StoreUnavailable:
            # It may have arrived all the same. Not to double the time that the caller waits:
            self._abandons.add(wanted)
            raise
        except BaseException:
            self._abandon(wanted)
            raise
        finally:
            with self._changed:
                self._waiting.pop(wanted.token, None)
                # A drain sees it in one place or the other.
                over = self._over()
                if begun is not None and over is None:
                    turn.take_begun(*begun)
                    self._running[wanted.token] = turn
                    self._keeper.keep(turn.lease, turn)
        if over is not None:
            self._abandon(wanted)
            raise over

    def _over(self) -> RedisStoreError | None:
        """Return why no turn begins any more, if so."""
        if self._closed:
            return StoreClosed()
        return ReplicaDraining(NO_MORE) if self._draining else None

    def update(
        self, turn: TurnState, last_prompt_tokens: int | None, counters: Counters
    ) -> SessionEntry | None:
        """Make a fenced write."""
        key, conditions = turn.request.session_key, Conditions(if_turn=turn)

        def steps(context: Context) -> Steps[SessionEntry | None]:
            return one(sessions.update(context, key, last_prompt_tokens, counters, conditions))

        try:
            entry: SessionEntry | None = self._complete(steps)
        except TurnLost:
            turn.tell_lost()
            raise
        return entry

    def end(self, turn: TurnState, last_prompt_tokens: int | None, counters: Counters) -> Ended:
        """End a turn well."""
        lease = turn.lease
        with turn.ending():
            ended: Ended = self._complete(
                lambda c: turns.end(c, lease, last_prompt_tokens, counters)
            )
        self.forget(turn)
        if ended.handed:
            self._claims.expect_claim(self._space().partition_of(turn.request.session_key))
        return ended

    def give_up(self, turn: TurnState, reason: str = "") -> Abandoned:
        """Give a running turn up."""
        self.forget(turn)
        turn.ended = turn.ended or not reason
        return self._give_up(turn.request, reason)

    def forget(self, turn: TurnState) -> None:
        """Stop renewing a turn."""
        self._keeper.forget(turns.lease_of(turn.request, turn.begun), turn)
        with self._changed:
            self._running.pop(turn.request.token, None)
            self._changed.notify_all()

    def drain(self, grace: float) -> Drained:
        """Begin no more turns, send those that wait away, and cut what does not end in time."""
        with self._changed:
            self._draining = True
            waiting = list(self._waiting.values())
        away: set[Partition] = set()
        told = [self._reach(wanted, away, wake=True) for wanted in waiting]
        with self._changed:
            before = len(self._running)
            self._changed.wait_for(lambda: not self._running, grace)
            running = list(self._running.values())
        cut: list[TurnState] = []
        for turn in running:
            self.forget(turn)
            if turn.take_cut(self._reach(turn.request, away, CUT)):
                cut.append(turn)
        return Drained(
            finished=before - len(cut),
            sent_away=told.count("waiting"),
            cut=tuple(turn.request.session_key for turn in cut),
        )

    def _reach(
        self, wanted: Request, away: set[Partition], reason: str = "", *, wake: bool = False
    ) -> str:
        """Give a turn up, and return what it was. Not all wait for a partition that is ``away``."""
        home = self._space().partition_of(wanted.session_key)
        if home in away:
            return ""
        try:
            return self._give_up(wanted, reason, wake=wake).was
        except RedisStoreError as failure:
            if isinstance(failure, StoreUnavailable):
                away.add(home)
            _log.warning("%s was not given up and will lapse: %s", wanted.token, failure)
            return ""

    def close(self) -> None:
        """Stop renewing, and give up what waits. What still runs lapses by itself."""
        with self._changed:
            self._closed = True
            waiting = list(self._waiting.values())
        self._claims.close()
        self._keeper.close()
        self._abandons.close(waiting)

    def _give_up(self, wanted: Request, reason: str = "", *, wake: bool = False) -> Abandoned:
        abandoned: Abandoned = self._complete(lambda c: turns.give_up(c, wanted, reason, wake=wake))
        if abandoned.handed:
            self._claims.expect_claim(self._space().partition_of(wanted.session_key))
        return abandoned

    def _abandon(self, wanted: Request) -> bool:
        """Give up what has not begun; false if Redis was not reached."""
        try:
            self._give_up(wanted)
        except RedisStoreError as failure:
            _log.debug("%s was not abandoned and will lapse: %s", wanted.token, failure)
            return False
        return True

    def _renew(self, held: Sequence[Lease]) -> Mapping[Lease, datetime | None]:
        try:
            found: Mapping[Lease, datetime | None] = self._complete(lambda c: leases.renew(c, held))
        except RedisStoreError:
            parts = self._space().by_partition(held, lambda lease: lease.session_key)
            if len(parts) == 1:
                raise
            # A partition that can't be reached must not cost the turns of the others.
            found = {}
            for part in parts.values():
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
