"""The turns that run, as anybody may see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from redisstore.calls.call import (
    Ask,
    Call,
    Context,
    Found,
    Sweep,
    as_labelled,
    as_moment,
    as_text,
    as_time,
    as_whole,
)
from redisstore.config import FURTHEST_LEASE
from redisstore.keys import Partition, SessionKey

_PAGE = 100


@dataclass(frozen=True, slots=True)
class RunningTurn:
    """One turn that has a session, or was given it and has not claimed it yet."""

    session_key: SessionKey
    replica: str
    token: str
    fence: int | None
    """That of its lane; on a session id that is shared, ``turn.fence`` is larger. ``None``: it was
    given the lane and has not claimed it yet."""
    session_id: str
    message_id: str | None
    began_at: datetime | None
    lapses_at: datetime
    """When its lease lapses unless it is renewed."""
    lapses_in: float
    """Seconds until then, by the server's clock; negative once it has lapsed."""
    lapsed: bool
    """Whether it counts as lapsed: the next recovery finds it. One that lapses later than any lease
    can does too, the clock was set back."""
    waiting: int
    """How many turns wait for this one."""

    @property
    def runs_for(self) -> timedelta:
        """For how long it has run, by the server's clock; zero where it has not begun."""
        if self.began_at is None:
            return timedelta()
        return self.lapses_at - timedelta(seconds=self.lapses_in) - self.began_at


def sweep(context: Context) -> Sweep[RunningTurn]:
    """Yield the turns of all partitions, each lane once; none that runs all the while is missed."""
    for home in context.space.partitions:
        listed: set[SessionKey] = set()
        after = b""
        while True:
            (page,) = yield Ask([_page_call(home, after)])
            for turn in page.turns:
                # One that was renewed since the page before is in this one, too.
                if turn.session_key not in listed:
                    listed.add(turn.session_key)
                    yield Found(turn)
            after = page.last
            if not after:
                break


class _Page(NamedTuple):
    """Some of the turns of a partition."""

    last: bytes
    """The score to go on after; empty at the end."""
    turns: list[RunningTurn]


def _page_call(home: Partition, after: bytes) -> Call[_Page]:
    return Call("list_turns", (home.prefix, home.turns), (after, _PAGE), _decode)


def _decode(reply: Sequence[Any]) -> _Page:
    now, last, *rest = reply
    rows = zip(rest[::4], rest[1::4], rest[2::4], rest[3::4], strict=True)
    return _Page(last, [_turn(int(now), *row) for row in rows])


def _turn(
    now: int, session_key: bytes, lapses: bytes, waiting: bytes, flat: Sequence[bytes]
) -> RunningTurn:
    fields = {name: as_text(value) for name, value in as_labelled(flat).items()}
    lapses_in = (float(lapses) - now) / 1000
    return RunningTurn(
        session_key=SessionKey(as_text(session_key)),
        replica=fields.get("replica", ""),
        token=fields.get("token", ""),
        fence=as_whole(fields.get("fence", "")),
        session_id=fields.get("session_id", ""),
        message_id=fields.get("message_id") or None,
        began_at=as_moment(fields.get("began_at", "")),
        lapses_at=as_time(lapses),
        lapses_in=lapses_in,
        lapsed=not 0 < lapses_in <= FURTHEST_LEASE,
        waiting=int(waiting),
    )
