"""What a turn knows of itself, and what of that it shows, whether threads or tasks run it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, NoReturn

from redisstore import fork
from redisstore.calls.call import Lease
from redisstore.calls.callbacks import check_plain
from redisstore.calls.turn_replies import Ended, Running
from redisstore.calls.turns import Request, lease_of
from redisstore.entry import SessionEntry
from redisstore.errors import StaleWrite, TurnLost
from redisstore.keys import SessionKey

_log = logging.getLogger(__name__)


class TurnState:
    """Where one turn is at, for what begins, renews and ends it."""

    def __init__(
        self, request: Request, ttl: float, on_lost: Callable[[], object] | None = None
    ) -> None:
        self.request = request
        self.ended = False
        self.told_lost = False
        self.generation = fork.generation
        self._ttl = ttl
        self._on_lost = on_lost
        self._begun: Running | None = None
        self._updated: SessionEntry | None = None
        self._entering = threading.Lock()
        """Taken by whoever enters it, and never given back."""
        self._telling = threading.Lock()
        """Taken by whoever tells that it is lost, and never given back."""
        self._sure_until = 0.0
        self._ending = False
        self._found_lost = False

    @property
    def begun(self) -> Running:
        """What its begin has found. Raises ``RuntimeError`` before that."""
        if self._begun is None:
            raise RuntimeError("the turn has not begun: enter its with block first")
        return self._begun

    @property
    def entry(self) -> SessionEntry:
        """The session, as it saw it last. Raises ``RuntimeError`` before it has begun."""
        return self._updated or self.begun.entry

    @property
    def lost(self) -> bool:
        """Whether it has lost its session, as far as this process can know."""
        running = self._begun is not None and not self.ended
        return self.told_lost or (running and time.monotonic() > self._sure_until)

    @property
    def lease(self) -> Lease:
        """What its writes are fenced with. Raises ``TurnLost`` where it has ended, or is lost."""
        if self.ended:
            raise TurnLost(f"the turn on {self.request.session_key} has ended")
        if self.told_lost:
            raise TurnLost(f"the turn lost {self.request.session_key}")
        return lease_of(self.request, self.begun)

    def enter(self) -> None:
        """Take in that it is to begin. Raises ``RuntimeError`` where it was before."""
        if self.generation != fork.generation:
            self.raise_inherited()
        if not self._entering.acquire(blocking=False):
            raise RuntimeError("a turn is entered once: make another by store.turn()")

    def raise_inherited(self) -> NoReturn:
        """Tell that this process was forked after the turn was made."""
        raise RuntimeError(f"{self} is of the process that this one was forked from")

    def take_begun(self, begun: Running, asked_at: float) -> None:
        """Take in what the begin has found; ``asked_at``: when it was sent."""
        self._begun = begun
        self._sure_until = asked_at + self._ttl

    def renewed(self, lapses_at: datetime | None, asked_at: float) -> None:
        """Take in what a renewal found; ``None``: the lease is gone."""
        if lapses_at is None:
            self.tell_lost()
        else:
            self._sure_until = asked_at + self._ttl

    def not_renewed(self) -> None:
        """Take in that Redis was not reached; in the end that costs the lease too."""
        if self.lost:
            self.tell_lost()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """While its end is asked for: a lease that is found gone may be gone because it ended.

        So what becomes of the end says whether it was lost.
        """
        self._ending = True
        try:
            yield
        except BaseException as failure:
            self._ending = False
            if self._found_lost or isinstance(failure, TurnLost):
                self.tell_lost()
            raise
        self.ended = True
        self._ending = False

    def tell_lost(self) -> None:
        """Take in that the lease is gone, and tell whoever asked to be told, once."""
        self._found_lost = True
        # In this order, as whoever ends it may be another thread.
        if self._ending or self.ended:
            return
        self.told_lost = True
        if not self._telling.acquire(blocking=False):
            return
        _log.warning("%s is lost", self)
        if self._on_lost is not None:
            try:
                self._on_lost()
            except Exception:  # noqa: BLE001 - whoever renews this turn serves others too
                _log.exception("the on_lost callback of %s failed", self)

    def take_cut(self, was: str) -> bool:
        """Take in that a drain gave it up, and what it was then; empty: Redis was not reached.

        False if it ended well just before.
        """
        self.tell_lost()
        return self.lost or not (self.ended or was == "gone")

    def take_updated(self, entry: SessionEntry | None) -> SessionEntry:
        """Take in what a write has left. ``TurnLost`` where that is nothing."""
        if entry is None:
            raise TurnLost(f"the session of the turn on {self.request.session_key} was deleted")
        self._updated = entry
        return entry

    def take_ended(self, ended: Ended, *, counted: bool) -> SessionEntry:
        """Take in what the end has left. ``StaleWrite`` where counters had no place to go."""
        if ended.stale and counted:
            raise StaleWrite(
                f"{self.request.session_key} was reset or switched during the turn: it has ended, "
                "and its counters were not added to the new session"
            )
        return self.take_updated(ended.entry)

    def __repr__(self) -> str:
        request = self.request
        message = f" with message {request.message_id!r}" if request.message_id else ""
        return f"<turn {request.token} on {request.session_key!r}{message}>"


class TurnBase:
    """One message being handled; see ``SessionStore.turn``.

    ``entry``, ``fence``, ``created``, ``reset_reason`` and ``lease`` are there from its begin on;
    before it they raise ``RuntimeError``.

    A process that is forked meanwhile can leave the block, which does nothing there; ``update``,
    ``end`` and ``give_up`` raise ``RuntimeError``.
    """

    def __init__(
        self, request: Request, ttl: float, on_lost: Callable[[Any], object] | None
    ) -> None:
        check_plain("on_lost", on_lost)
        tell = None if on_lost is None else partial(on_lost, self)
        self._state = TurnState(request, ttl, tell)

    @property
    def _own(self) -> TurnState:
        """Its state, in the process that the turn belongs to; ``RuntimeError`` in another."""
        state = self._state
        if state.generation != fork.generation:
            state.raise_inherited()
        return state

    @property
    def session_key(self) -> SessionKey:
        """The lane that it is on."""
        return self._state.request.session_key

    @property
    def message_id(self) -> str | None:
        """The platform's id of its message, or ``None``."""
        return self._state.request.message_id or None

    @property
    def token(self) -> str:
        """What names this turn among all: replica, process, turn."""
        return self._state.request.token

    @property
    def entry(self) -> SessionEntry:
        """The session, as this turn saw it last."""
        return self._state.entry

    @property
    def fence(self) -> int:
        """A number that only grows from turn to turn of a session, on whichever lane they run.

        For systems that have to refuse what comes too late.
        """
        return self._state.begun.session_fence

    @property
    def created(self) -> bool:
        """Whether this turn opened a new session."""
        return self._state.begun.created

    @property
    def reset_reason(self) -> str | None:
        """Why the session took the place of an older one for this turn, or ``None``.

        ``suspended``, ``idle``, ``daily`` or ``resume_pending_expired``.
        """
        return self._state.begun.reset_reason

    @property
    def lost(self) -> bool:
        """Whether the turn has lost its session, as far as this process can know."""
        return self._state.lost

    @property
    def ended(self) -> bool:
        """Whether it was ended, or given up."""
        return self._state.ended

    @property
    def lease(self) -> Lease:
        """What its writes are fenced with. Raises ``TurnLost`` where it has ended, or is lost."""
        return self._state.lease

    def __repr__(self) -> str:
        return repr(self._state)
