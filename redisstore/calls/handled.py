"""Which messages sessions have handled: read in pages, and taken in from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

from redisstore.calls import listing
from redisstore.calls.call import (
    Arg,
    Ask,
    Call,
    Context,
    Found,
    Steps,
    Sweep,
    as_moment,
    as_text,
    chunks,
)
from redisstore.entry import SessionEntry
from redisstore.errors import CorruptEntry
from redisstore.fields import flatten, to_ms
from redisstore.keys import Partition, SessionKey
from redisstore.text import checked_text

Handled: TypeAlias = Mapping[str, datetime]
"""Of each message that a session has handled, by its id, when that was done."""

_MESSAGES_A_CALL = 500
"""So many are read or written in less than a millisecond."""
_SESSIONS_A_ROUND = 100
_DAMAGED = "it is not a sorted set"


def of(context: Context, session_key: object) -> Steps[Handled]:
    """Read what one session has handled; raises ``CorruptEntry``."""
    _, key = context.home(session_key)
    return _of(context, key)


def _of(context: Context, key: SessionKey) -> Steps[Handled]:
    found = yield from _read(context, [key])
    handled = found[key]
    if isinstance(handled, CorruptEntry):
        raise handled
    return handled


def sessions(
    context: Context, on_damaged: Callable[[CorruptEntry], None]
) -> Sweep[tuple[SessionEntry, Handled]]:
    """Yield all sessions, newest first, each with what it has handled; that is read after it.

    So a message that is done in between is known, though its session was read as it was before.
    """
    listed = listing.newest_first(context, active_minutes=None, limit=None, only=None)
    return _beside(context, listed, on_damaged)


def _beside(
    context: Context,
    listed: Sweep[SessionEntry | CorruptEntry],
    on_damaged: Callable[[CorruptEntry], None],
) -> Sweep[tuple[SessionEntry, Handled]]:
    batch: list[SessionEntry] = []
    replies: list[Any] | None = None
    is_over = False
    while not is_over:
        try:
            step = listed.send(replies)
        except StopIteration:
            is_over = True
        else:
            replies = None
            if isinstance(step, Ask):
                replies = yield step
            elif isinstance(step.item, CorruptEntry):
                on_damaged(step.item)
            else:
                batch.append(step.item)
        if is_over or len(batch) == _SESSIONS_A_ROUND:
            found = yield from _read(context, [entry.session_key for entry in batch])
            for entry in batch:
                handled = found[entry.session_key]
                if isinstance(handled, CorruptEntry):
                    on_damaged(handled)
                    handled = {}
                yield Found((entry, handled))
            batch = []


class _Page(NamedTuple):
    """Some of a session's messages."""

    size: int
    """How many were read, with those whose time, put in by hand, is none."""
    messages: dict[str, datetime]
    damaged: CorruptEntry | None = None


@dataclass(slots=True)
class _Reading:
    """What of one partition is still to be read."""

    home: Partition
    keys: list[SessionKey]
    skip: int = 0
    """How many of the first session's messages are read."""

    def call(self) -> Call[list[_Page]]:
        args: tuple[Arg, ...] = (_MESSAGES_A_CALL, self.skip, *self.keys)
        keys = (self.home.prefix, self.home.updated_at)
        return Call("list_handled_messages", keys, args, self._decode)

    def _decode(self, reply: Sequence[Any]) -> list[_Page]:
        return [
            _Page(0, {}, CorruptEntry(self.home.seen(key), _DAMAGED))
            if flat == b"damaged"
            else _page(flat)
            for key, flat in zip(self.keys, reply, strict=False)
        ]

    def take(self, pages: Sequence[_Page]) -> None:
        """Note what was read: behind a full answer, the rest of its last session comes next."""
        if sum(page.size for page in pages) < _MESSAGES_A_CALL:
            self.keys = []
        else:
            self.skip = pages[-1].size + (self.skip if len(pages) == 1 else 0)
            self.keys = self.keys[len(pages) - 1 :]


def _page(flat: Sequence[bytes]) -> _Page:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    read = ((as_text(name), as_moment(score.decode())) for name, score in pairs)
    messages = {name: done_at for name, done_at in read if done_at is not None}
    return _Page(len(flat) // 2, messages)


def _read(
    context: Context, keys: Iterable[SessionKey]
) -> Generator[Ask, Any, dict[SessionKey, Handled | CorruptEntry]]:
    """Read what sessions have handled: as often as it takes, a bounded number a call."""
    messages: dict[SessionKey, dict[str, datetime]] = {key: {} for key in keys}
    damaged: dict[SessionKey, CorruptEntry] = {}
    homes = context.space.by_partition(messages, lambda key: key)
    left = [_Reading(home, mine) for home, mine in homes.items()]
    while left:
        replies = yield Ask([reading.call() for reading in left])
        for reading, pages in zip(left, replies, strict=True):
            for key, page in zip(reading.keys, pages, strict=False):
                messages[key] |= page.messages
                if page.damaged is not None:
                    damaged[key] = page.damaged
            reading.take(pages)
        left = [reading for reading in left if reading.keys]
    return {**messages, **damaged}


def check(context: Context, handled: Handled) -> None:
    """Raise ``InvalidInput`` for a message id that no turn could have."""
    for message_id in handled:
        checked_text("handled_messages", message_id, max_bytes=context.config.max_key_bytes)


class _Row(NamedTuple):
    """One message that a session has handled."""

    session_key: SessionKey
    message_id: str
    done_at: datetime


def take_in(
    context: Context, wanted: Iterable[tuple[SessionKey, Handled]]
) -> Generator[Ask, Any, set[SessionKey]]:
    """Take in what sessions have handled; return those that are damaged here, and stay so."""
    rows = [_Row(key, *message) for key, handled in wanted for message in handled.items()]
    calls = [
        _take_in_call(context, home, some)
        for home, mine in context.space.by_partition(rows, lambda row: row.session_key).items()
        for some in chunks(mine, _MESSAGES_A_CALL)
    ]
    if not calls:
        return set()
    replies = yield Ask(calls)
    return set().union(*replies)


def _take_in_call(context: Context, home: Partition, rows: Sequence[_Row]) -> Call[set[SessionKey]]:
    args: list[Arg] = [int(context.config.message_id_ttl * 1000)]
    keys: list[SessionKey] = []
    for key, some in groupby(rows, lambda row: row.session_key):
        pairs = [(row.message_id, str(to_ms(row.done_at))) for row in some]
        args += [key, len(pairs), *flatten(pairs)]
        keys.append(key)

    def decode(reply: Sequence[bytes]) -> set[SessionKey]:
        return {key for key, verdict in zip(keys, reply, strict=True) if verdict == b"0"}

    keys_named = (home.prefix, home.updated_at)
    return Call("import_handled_messages", keys_named, tuple(args), decode, creates=True)
