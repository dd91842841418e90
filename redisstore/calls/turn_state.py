"""What a turn knows of itself, whether threads or tasks run it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from redisstore.calls.call import Lease
from redisstore.calls.turn_replies import Ended, Running
from redisstore.calls.turns import Request, lease_of
from redisstore.entry import SessionEntry
from redisstore.errors import StaleWrite, TurnLost

_log = logging.getLogger(__name__)


class TurnState:
    """One message being handled; see ``SessionStore.turn``.

    ``session_key``, ``message_id``: what it is about. From its begin on: ``entry``, the session as
    this turn saw it last; ``fence``, a number that is larger than that of any turn before, for
    systems that have to refuse what comes too late; ``created``, whether the session is new;
    ``reset_reason``, why it took the place of an older one (``suspended``, ``idle``, ``daily``,
    ``resume_pending_expired``), or ``None``. ``lost`` turns true once the turn has lost its
    session.
    """

    def __init__(self, wanted: Request, ttl: float, on_lost: Callable[[Any], None] | None) -> None:
        self.session_key = wanted.session_key
        self.message_id = wanted.message_id or None
        self.wanted = wanted
        self.ended = False
        self._ttl = ttl
        self._on_lost = on_lost
        self._begun: Running | None = None
        self._entry: SessionEntry | None = None
        self._told_lost = False
        self._telling = threading.Lock()
        """Taken by whoever tells that it is lost, and never given back."""
        self._sure_until = 0.0

    @property
    def token(self) -> str:
        """What names this turn among all: replica, process, turn."""
        return self.wanted.token

    @property
    def entry(self) -> SessionEntry:
        """The session, as this turn saw it last."""
        if self._entry is None:
            raise TurnLost("the turn has not begun: enter its with block first")
        return self._entry

    @property
    def fence(self) -> int:
        """A number that only grows from turn to turn of a session, on whichever lane they run."""
        return self.begun.session_fence

    @property
    def created(self) -> bool:
        """Whether this turn opened a new session."""
        return self.begun.created

    @property
    def reset_reason(self) -> str | None:
        """Why the session was started anew for this turn, or ``None``."""
        return self.begun.reset_reason

    @property
    def lost(self) -> bool:
        """Whether the turn has lost its session, as far as this process can know."""
        running = self._begun is not None and not self.ended
        return self._told_lost or (running and time.monotonic() > self._sure_until)

    @property
    def lease(self) -> Lease:
        """What its writes are fenced with. Raises ``TurnLost`` where it has ended, or is lost."""
        if self.ended:
            raise TurnLost(f"the turn on {self.session_key} has ended")
        if self._told_lost:
            raise TurnLost(f"the turn lost {self.session_key}")
        return lease_of(self.wanted, self.begun)

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

    def tell_lost(self) -> None:
        """Take in that the lease is gone, and tell whoever asked to be told, once."""
        if self.ended:
            return
        self._told_lost = True
        if not self._telling.acquire(blocking=False):
            return
        _log.warning("%s is lost", self)
        if self._on_lost is not None:
            try:
                self._on_lost(self)
            except Exception:  # noqa: BLE001 - whoever renews this turn serves others too
                _log.exception("the on_lost callback of %s failed", self)

    @property
    def begun(self) -> Running:
        """What the begin of the turn found. Raises ``TurnLost`` before it."""
        if self._begun is None:
            raise TurnLost("the turn has not begun: enter its with block first")
        return self._begun

    @property
    def has_begun(self) -> bool:
        """Whether it has got that far, ended or not."""
        return self._begun is not None

    def take_begun(self, begun: Running, asked_at: float) -> None:
        """Take in what the begin has found; ``asked_at``: when it was sent."""
        self._begun, self._entry = begun, begun.entry
        self._sure_until = asked_at + self._ttl

    def _take_updated(self, entry: SessionEntry | None) -> SessionEntry:
        if entry is None:
            raise TurnLost(f"the session of the turn on {self.session_key} was deleted")
        self._entry = entry
        return entry

    def _take_ended(self, ended: Ended, *, counted: bool) -> SessionEntry:
        if ended.stale and counted:
            raise StaleWrite(
                f"{self.session_key} was reset or switched during the turn: it has ended, and its "
                "counters were not added to the new session"
            )
        return self._take_updated(ended.entry)

    def __repr__(self) -> str:
        message = f" with message {self.message_id!r}" if self.message_id else ""
        return f"<turn {self.token} on {self.session_key!r}{message}>"
