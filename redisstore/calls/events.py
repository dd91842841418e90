"""Events as they come, from all partitions: for a looker-on, or for a consumer of a group."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from redisstore.calls.call import Ask, Call, Found, Pause, Watch, as_bool, checked_number
from redisstore.calls.event import GAP, Event, gap_behind, place_of, read_events
from redisstore.calls.layout import Opening
from redisstore.errors import InvalidInput, short_repr
from redisstore.keys import Partition
from redisstore.text import checked_text

Since: TypeAlias = Literal["now", "oldest"] | Collection[str]
"""Where to begin; ids of events: behind the latest of each partition."""

LONGEST_NAME = 256
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_PAGE = 100
_GROUP_PAGE = 10
"""Few: what one consumer has in hand, no other can take."""
_LONGEST_WAIT = 1e9


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader asked for, checked."""

    since: Literal["now", "oldest"] | Mapping[int, str]
    idle_timeout: float
    group: str = ""
    consumer: str = ""
    claim_after: float = math.inf


def wanted(
    since: object,
    idle_timeout: float | None,
    group: str | None,
    consumer: str | None,
    claim_after: float,
) -> Wanted:
    """Check what a reader asks for."""
    begin = _beginning(since)
    if idle_timeout is None:
        idle_timeout = math.inf
    else:
        checked_number(
            "idle_timeout", idle_timeout, lowest=0, highest=_LONGEST_WAIT, unit="seconds"
        )
    checked_number("claim_after", claim_after, lowest=0.1, highest=_LONGEST_WAIT, unit="seconds")
    if group is None:
        return Wanted(begin, idle_timeout)
    return Wanted(
        begin,
        idle_timeout,
        checked_text("group", group, max_bytes=LONGEST_NAME),
        checked_text("consumer", consumer, max_bytes=LONGEST_NAME),
        claim_after,
    )


def _beginning(since: object) -> Literal["now", "oldest"] | Mapping[int, str]:
    if since == "now":
        return "now"
    if since == "oldest":
        return "oldest"
    if isinstance(since, str) or not isinstance(since, Collection):
        raise InvalidInput(
            "since", f"must be 'now', 'oldest' or ids of events, not {short_repr(since)}"
        )
    places = {identifier: place_of(identifier) for identifier in since}
    # Their text sorts in order, so the latest of each partition stays.
    return dict(places[identifier] for identifier in sorted(places))


def sweep(
    opening: Opening, asked: Wanted, clock: Callable[[], float] = time.monotonic
) -> Watch[Event]:
    """Yield events until none came for as long as was asked for."""
    patience = _Patience(asked.idle_timeout)
    begin = asked.since
    while not opening.done:
        (partitions,) = yield Ask([opening.call(claim=False)])
        opening.found(partitions)
        if partitions is None:
            begin = "oldest"  # there is no store yet, so all that happens is new
            if (pause := patience.pause()) is None:
                return
            yield Pause(pause)
    homes = opening.context.space.partitions
    starts = [_start(begin, home, len(homes)) for home in homes]
    make = _Consumer if asked.group else _Onlooker
    readers: list[_Onlooker | _Consumer] = [
        make(home, start, asked) for home, start in zip(homes, starts, strict=True)
    ]
    while True:
        looked_at = clock()
        pages = yield Ask([reader.look() for reader in readers])
        # A partition's events keep their order, those of several come about in theirs.
        found = sorted((event for page in pages for event in page), key=lambda event: event.at)
        for event in found:
            yield Found(event)
            if calls := readers[event.partition].handled(event):
                yield Ask(calls)
            # Whoever is slow looks again: what it left waiting may be another's by now.
            if clock() - looked_at > asked.claim_after / 2:
                break
        if found:
            patience.renew()
        elif (pause := patience.pause()) is None:
            return
        else:
            yield Pause(pause)


def _start(
    begin: Literal["now", "oldest"] | Mapping[int, str], home: Partition, partitions: int
) -> str:
    if not isinstance(begin, Mapping):
        return "$" if begin == "now" else ""
    if begin and max(begin) >= partitions:
        raise InvalidInput("since", f"there is no partition {max(begin)} in this store")
    return begin.get(home.index, "")


class _Patience:
    """How long to pause while nothing comes, and when to give up."""

    def __init__(self, idle_timeout: float) -> None:
        self._idle_timeout = idle_timeout
        self.renew()

    def renew(self) -> None:
        self._left, self._latest = self._idle_timeout, 0.0

    def pause(self) -> float | None:
        if self._left <= 0:
            return None
        self._latest = min(max(2 * self._latest, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        pause = min(self._latest, self._left)
        self._left -= pause
        return pause


class _Onlooker:
    """Reads all events of a partition, and keeps its position itself."""

    def __init__(self, home: Partition, start: str, _: Wanted) -> None:
        self._home = home
        self._position = start

    def look(self) -> Call[list[Event]]:
        """Return the call that reads what comes next."""
        home, before = self._home, self._position

        def decode(reply: Sequence[Any]) -> list[Event]:
            self._position = reply[0].decode()
            return [
                *gap_behind(home.index, before, reply[1]),
                *read_events(home.index, reply[2:]),
            ]

        return Call("read_events", (home.prefix, home.events), (before, _PAGE), decode)

    def handled(self, _: Event, /) -> Sequence[Call[Any]]:
        """Return what to do when whoever got an event is back for the next: nothing."""
        return ()


class _Consumer:
    """Reads what a group has for one of its consumers; the position is the group's."""

    def __init__(self, home: Partition, start: str, asked: Wanted) -> None:
        self._home = home
        self._asked = asked
        self._start = start or "0-0"
        self._told = ""

    def look(self) -> Call[list[Event]]:
        """Return the call that reads what there is for this consumer."""
        home, asked = self._home, self._asked

        def decode(reply: Sequence[Any]) -> list[Event]:
            # A group that vanishes from here on, vanished with what it had not read.
            self._start = "0-0"
            return [
                *gap_behind(home.index, reply[0].decode(), reply[1]),
                *read_events(home.index, reply[2:]),
            ]

        claim_ms = int(asked.claim_after * 1000)
        args = (asked.group, asked.consumer, self._start, claim_ms, self._told, _GROUP_PAGE)
        return Call("read_group_events", (home.prefix, home.events), args, decode)

    def handled(self, event: Event, /) -> Sequence[Call[Any]]:
        """Return the acknowledgement of an event: whoever got it is back for the next."""
        if event.kind == GAP and event.lost_until:
            self._told = place_of(event.lost_until)[1]
        return [acknowledge(self._home, self._asked.group, place_of(event.id)[1])]


def acknowledge(home: Partition, group: str, stream_id: str) -> Call[bool]:
    """Tell a group that an event was handled."""
    return Call("acknowledge_event", (home.prefix, home.events), (group, stream_id), as_bool)
