"""Calls that look at many sessions: lists, counts, and the way back from a session id."""

from __future__ import annotations

import heapq
import logging
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

from redisstore.calls.call import (
    Ask,
    Call,
    Context,
    Found,
    Sweep,
    as_labelled,
    as_text,
    as_time,
    checked_number,
)
from redisstore.entry import SessionEntry
from redisstore.errors import CorruptEntry, InvalidInput, short_repr
from redisstore.fields import LARGEST_NUMBER, decode_entry
from redisstore.keys import Partition, SessionKey

Only: TypeAlias = Literal["suspended", "resume_pending", "active"]
_log = logging.getLogger(__name__)
_MOST_MINUTES = 1e9
_MOST_PAGES = 20
"""How many pages of a partition are asked for in one round trip."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many sessions a store has, at one moment a partition."""

    sessions: int = 0
    active: int = 0
    """Held by a live process."""
    lapsed: int = 0
    """Held by processes that are gone, the last of which was not renewed in time."""
    running: int = 0
    """In a turn."""
    expiring: int = 0
    """With a deadline of the reset policy."""
    expired: int = 0
    """Past that deadline: the next message starts anew."""
    oldest: datetime | None = None
    """The earliest last activity."""
    newest: datetime | None = None

    def __add__(self, other: Counts) -> Counts:
        """Add the counts of another partition."""
        return Counts(
            self.sessions + other.sessions,
            self.active + other.active,
            self.lapsed + other.lapsed,
            self.running + other.running,
            self.expiring + other.expiring,
            self.expired + other.expired,
            min(filter(None, (self.oldest, other.oldest)), default=None),
            max(filter(None, (self.newest, other.newest)), default=None),
        )


def counts(context: Context) -> list[Call[Counts]]:
    """Count each partition."""
    return [
        Call("count_sessions", (home.prefix, home.updated_at), (), _decode_counts)
        for home in context.space.partitions
    ]


def _decode_counts(reply: Sequence[bytes]) -> Counts:
    labelled = as_labelled(reply)

    def moment(name: str) -> datetime | None:
        return as_time(labelled[name]) if labelled[name] else None

    return Counts(
        sessions=int(labelled["sessions"]),
        active=int(labelled["active"]),
        lapsed=int(labelled["lapsed"]),
        running=int(labelled["running"]),
        expiring=int(labelled["expiring"]),
        expired=int(labelled["expired"]),
        oldest=moment("oldest"),
        newest=moment("newest"),
    )


def lookup(context: Context, session_id: object) -> list[Call[SessionEntry | None]]:
    """Look for a session id in each partition: it may be bound in any."""
    checked = context.session_id(session_id)

    def ask(home: Partition) -> Call[SessionEntry | None]:
        def decode(reply: Sequence[Any]) -> SessionEntry | None:
            if not reply:
                return None
            redis_key = home.entry(SessionKey(as_text(reply[0])))
            return decode_entry(_key(reply[0], redis_key), redis_key, reply[1])

        return Call("lookup_session_id", (home.prefix, home.updated_at), (checked,), decode)

    return [ask(home) for home in context.space.partitions]


@dataclass(frozen=True, slots=True)
class _Page:
    score: str
    member: bytes
    entries: list[SessionEntry]
    damaged: list[CorruptEntry]


@dataclass(slots=True)
class _Feed:
    """One partition's part of a list: what of its latest page is not yet yielded."""

    home: Partition
    score: str = ""
    member: bytes = b""
    ended: bool = False
    ready: deque[SessionEntry] = field(default_factory=deque)

    def take(self, page: _Page) -> None:
        """Put a page behind what is ready, without what has moved there from the one before."""
        there = {entry.session_key for entry in self.ready}
        self.ready.extend(entry for entry in page.entries if entry.session_key not in there)
        self.score, self.member, self.ended = page.score, page.member, not page.score

    def next_in_line(self) -> tuple[float, int]:
        """Return what sorts this feed among the others: the newest next session goes first."""
        return -self.ready[0].updated_at.timestamp(), self.home.index


def newest_first(
    context: Context,
    *,
    active_minutes: float | None,
    limit: int | None,
    only: Only | None,
) -> Sweep[SessionEntry | CorruptEntry]:
    """Yield sessions, newest first, from all partitions; damaged ones as they are met."""
    active_ms = _minutes_ms(active_minutes)
    if limit is not None and (type(limit) is not int or limit < 0):
        raise InvalidInput("limit", f"must be a whole number from 0, not {short_repr(limit)}")
    if only is not None and only not in get_args(Only):
        raise InvalidInput(
            "only", f"must be one of {', '.join(get_args(Only))}, not {short_repr(only)}"
        )
    page_size = context.config.list_page_size
    if limit is not None and only is None:
        page_size = max(1, min(page_size, limit))
    return _merge(context, (page_size, active_ms, only or ""), limit)


def _minutes_ms(minutes: float | None) -> int | str:
    if minutes is None:
        return ""
    checked_number("active_minutes", minutes, lowest=0, highest=_MOST_MINUTES, unit="minutes")
    return int(minutes * 60_000)


def _merge(
    context: Context, request: tuple[int, int | str, str], limit: int | None
) -> Sweep[SessionEntry | CorruptEntry]:
    feeds = [_Feed(home) for home in context.space.partitions]
    hungry = feeds
    """Those that may have more, and have nothing in the queue."""
    queue: list[tuple[float, int]] = []
    """The age of each other feed's next session, and whose it is."""
    left = math.inf if limit is None or limit > LARGEST_NUMBER else limit
    while left > 0:
        while hungry:
            together = _pages_together(left / len(feeds), request)
            asked = [(feed, i) for feed in hungry for i in range(together)]
            pages = yield Ask([_page(feed, request, i) for feed, i in asked])
            for (feed, _), page in zip(asked, pages, strict=True):
                feed.take(page)
                yield from map(Found, page.damaged)
            for feed in hungry:
                if feed.ready:
                    heapq.heappush(queue, feed.next_in_line())
            hungry = [feed for feed in hungry if not feed.ready and not feed.ended]
        if not queue:
            return
        feed = feeds[heapq.heappop(queue)[1]]
        yield Found(feed.ready.popleft())
        left -= 1
        if feed.ready:
            heapq.heappush(queue, feed.next_in_line())
        elif not feed.ended:
            hungry = [feed]


def _pages_together(wanted: float, request: tuple[int, int | str, str]) -> int:
    """Return how many pages hold a partition's share of what is wanted; else one."""
    limit, _, only = request
    if only or math.isinf(wanted):
        return 1
    return min(max(math.ceil(wanted / limit), 1), _MOST_PAGES)


def _page(feed: _Feed, request: tuple[int, int | str, str], number: int) -> Call[_Page]:
    limit, active_ms, only = request
    home = feed.home

    def decode(reply: Sequence[Any]) -> _Page:
        page = _Page(reply[0].decode(), reply[1], [], [])
        for raw_key, found in zip(reply[2::2], reply[3::2], strict=True):
            redis_key = home.entry(SessionKey(as_text(raw_key)))
            if isinstance(found, bytes):
                page.damaged.append(CorruptEntry(redis_key, found.decode()))
                continue
            try:
                page.entries.append(decode_entry(_key(raw_key, redis_key), redis_key, found))
            except CorruptEntry as damaged:
                page.damaged.append(damaged)
        return page

    args = (limit, active_ms, feed.score, feed.member, only, number * limit)
    return Call("list_sessions", (home.prefix, home.updated_at), args, decode)


def _key(raw: bytes, redis_key: str) -> SessionKey:
    try:
        return SessionKey(raw.decode())
    except UnicodeDecodeError as error:
        raise CorruptEntry(redis_key, "the session key is no UTF-8") from error


def latest(found: Sequence[SessionEntry | None]) -> SessionEntry | None:
    """Return the entry that was active last."""
    entries = (entry for entry in found if entry is not None)
    return max(entries, key=lambda entry: entry.updated_at, default=None)


def log_damaged(damaged: CorruptEntry) -> None:
    """Say that a list left out an entry."""
    _log.warning("left out of a list: %s", damaged)
