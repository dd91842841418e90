"""What becomes of a store's turns when its replica shuts down."""

from __future__ import annotations

from dataclasses import dataclass

from redisstore.keys import SessionKey

CUT = "restart_timeout"
"""The mark of a session whose turn did not end in time; the reference gateway's word for it."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What ``drain`` did with the turns of this store."""

    finished: int
    """Turns that ended in time."""
    sent_away: int
    """Turns that still waited; their messages are free for other replicas."""
    cut: tuple[SessionKey, ...]
    """Sessions whose turns did not end in time: marked ``resume_pending``."""
