"""The live view: the replicas at work, and what the store holds meanwhile."""

from __future__ import annotations

import time
import unicodedata
from collections import deque
from dataclasses import dataclass, field

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from redisstore.calls.listing import Counts
from redisstore.demo.crew import Crew, Replica
from redisstore.demo.ledger import Ledger
from redisstore.demo.screen import Screen, printable
from redisstore.demo.traffic import Traffic
from redisstore.source import SessionSource
from redisstore.sync.store import SessionStore

_RATE_SECONDS = 2.0
_COUNT_SECONDS = 0.5
_NAME_WIDTH = 12
_STATES = {"up": "green", "starting": "yellow", "killed": "bold red"}


@dataclass
class _Rate:
    """Things a second, over the last two."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def at(self, now: float, total: int) -> float:
        self.seen.append((now, total))
        while now - self.seen[0][0] > _RATE_SECONDS:
            self.seen.popleft()
        since, before = self.seen[0]
        return (total - before) / (now - since) if now > since else 0.0


class Picture:
    """Draws the traffic as it is at the moment."""

    def __init__(
        self, screen: Screen, store: SessionStore, crew: Crew, ledger: Ledger, traffic: Traffic
    ) -> None:
        self._screen = screen
        self._store = store
        self._crew = crew
        self._ledger = ledger
        self._traffic = traffic
        self._rates = {replica.name: _Rate() for replica in crew.replicas}
        self._total_rate = _Rate()
        self._counts = Counts()
        self._counted_at = 0.0

    def drawn(self) -> RenderableType:
        """Return the whole view."""
        return Padding(
            Group(self._replicas(), self._totals(), Text(), self._screen.happenings()),
            (0, 0, 1, self._screen.indent),
        )

    def line(self) -> str:
        """Return the view as one line."""
        counts = self._count()
        rate = self._total_rate.at(time.monotonic(), self._ledger.answered)
        each = ", ".join(f"{r.name} {r.state} {r.answered:,}" for r in self._crew.replicas)
        return (
            f"{self._ledger.answered:,} messages answered, {rate:.0f}/s ({each}); "
            f"{self._ledger.delivered_again:,} times one came again; "
            f"{counts.sessions:,} sessions, {counts.active} held"
        )

    def _replicas(self) -> Table:
        now = time.monotonic()
        table = Table(box=box.ROUNDED, border_style="dim", header_style="bold", expand=True)
        table.add_column("gateway", no_wrap=True)
        table.add_column("runs on", no_wrap=True)
        table.add_column("process", justify="right", no_wrap=True)
        table.add_column("state", width=len("up again"))
        table.add_column("answered", justify="right", no_wrap=True)
        table.add_column("/s", justify="right", width=4)
        table.add_column("talking with", ratio=1, no_wrap=True)
        for replica in self._crew.replicas:
            rate = self._rates[replica.name].at(now, replica.answered)
            table.add_row(
                replica.name,
                replica.kind,
                str(replica.process.pid),
                _state(replica),
                f"{replica.answered:,}",
                f"{rate:.0f}",
                _names(replica),
            )
        return table

    def _totals(self) -> Text:
        counts = self._count()
        rate = self._total_rate.at(time.monotonic(), self._ledger.answered)
        text = Text(" ")
        for number, what in (
            (f"{self._ledger.answered:,}", "answered, "),
            (f"{rate:.0f}", "a second   "),
            (f"{self._ledger.delivered_again:,}", "came again   "),
            (f"{counts.sessions:,}", "sessions   "),
            (f"{len(self._traffic.newcomers)}", "new people   "),
            (f"{counts.active}", "held"),
        ):
            text.append(number, "bold").append(f" {what}", "dim")
        return text

    def _count(self) -> Counts:
        if time.monotonic() - self._counted_at > _COUNT_SECONDS:
            self._counts = self._store.count()
            self._counted_at = time.monotonic()
        return self._counts


def _state(replica: Replica) -> Text:
    again = " again" if replica.starts > 1 and replica.state == "up" else ""
    return Text(replica.state + again, _STATES[replica.state])


def _names(replica: Replica) -> Text:
    """Return who waits for an answer of this replica."""
    names = {_name(one.message.source) for one in replica.in_flight.values()}
    return Text(", ".join(sorted(names)))


def _name(source: SessionSource) -> str:
    name = source.user_name or ""
    if not name or any(unicodedata.bidirectional(letter) in {"R", "AL"} for letter in name):
        # A name written from right to left would turn the rest of its line around.
        name = source.chat_id or "?"
    text = Text(printable(name))
    text.truncate(_NAME_WIDTH, overflow="ellipsis")
    return text.plain
