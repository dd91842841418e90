"""What becomes of a store's turns when its replica shuts down."""

from __future__ import annotations

from dataclasses import dataclass

from redisstore.calls.call import checked_number
from redisstore.keys import SessionKey

CUT = "restart_timeout"
"""The mark of a session whose turn did not end in time; the reference gateway's word for it."""

NO_MORE = "this store begins no more turns"

_LONGEST_GRACE = 86_400.0


def checked_grace(grace: float) -> float:
    """Return the seconds that turns are given, or raise ``InvalidInput``."""
    return checked_number("grace", grace, lowest=0, highest=_LONGEST_GRACE, unit="seconds")


@dataclass(frozen=True, slots=True)
class Drained:
    """What ``drain`` did with the turns of this store."""

    finished: int
    """Turns that ended in time."""
    sent_away: int
    """Turns that still waited; their messages are free for other replicas."""
    cut: tuple[SessionKey, ...]
    """Sessions whose turns did not end in time: marked ``resume_pending``."""
