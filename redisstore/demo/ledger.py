"""The demo's own book-keeping: what was sent, and what the replicas say the store answered."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from redisstore.calls.running_turns import RunningTurn
from redisstore.demo.wire import Answered, Begun, Delivery, Failed, Message, Refused, Report
from redisstore.keys import SessionId, SessionKey
from redisstore.source import build_session_key

Why = Literal["first", "twin", "repeat", "retry"]
"""Of a delivery. ``twin``: to a second replica at once; ``repeat``: again though it was answered;
``retry``: again since the one before had brought no answer."""


@dataclass(frozen=True)
class Tokens:
    """Input and output tokens."""

    input: int = 0
    output: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.input + other.input, self.output + other.output)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.input - other.input, self.output - other.output)


def tokens_of(message: Message) -> Tokens:
    """Return what a message adds to the counters of its session."""
    return Tokens(message.input_tokens, message.output_tokens)


@dataclass
class Fate:
    """What became of a message."""

    message: Message
    session_key: SessionKey
    deliveries: int = 0
    answered_by: list[str] = field(default_factory=list)
    """Replicas that say the store took their answer."""
    known_done: bool = False
    """Whether the store has refused it as done."""
    died_with: list[str] = field(default_factory=list)
    """Replicas that were killed while they had it in hand."""
    error: str | None = None

    @property
    def is_answered(self) -> bool:
        """Whether it is, as far as the store has told anybody."""
        return bool(self.answered_by) or self.known_done


@dataclass
class SeenTurn:
    """A turn of a person, as its replica reports it."""

    token: str
    fence: int
    begun_at: float
    resumed: bool
    ended_at: float | None = None
    """``None``: nobody says that the store took its end."""


@dataclass
class Account:
    """What was recorded about one person."""

    session_ids: Counter[SessionId] = field(default_factory=Counter)
    replicas: set[str] = field(default_factory=set)
    creators: list[str] = field(default_factory=list)
    turns: list[SeenTurn] = field(default_factory=list)
    cut_off: dict[str, int] = field(default_factory=dict)
    """By token, the turns that ran in a replica when it was killed, with their fences as the store
    had them: those of their lane. Where lanes share a session, a turn is told a larger one."""
    open: set[int] = field(default_factory=set)
    """The person's messages without an answer so far."""


@dataclass(frozen=True)
class Kill:
    """The end of a replica."""

    replica: str
    at: float
    messages: frozenset[int]
    """What it had in hand and had not answered."""
    turns: int
    """How many turns it was in the middle of, as the store had it right afterwards."""


@dataclass
class Ledger:
    """All accounts, and the messages from their first delivery to their answer."""

    accounts: dict[SessionKey, Account] = field(default_factory=dict)
    fates: dict[int, Fate] = field(default_factory=dict)
    deliveries: Counter[Why] = field(default_factory=Counter)
    kills: list[Kill] = field(default_factory=list)
    answered: int = 0
    """How many messages the store says are answered."""
    _in_flight: dict[int, Delivery] = field(default_factory=dict)
    _running: dict[int, SeenTurn] = field(default_factory=dict)
    _unmended: list[Kill] = field(default_factory=list)

    @property
    def in_flight(self) -> int:
        """How many deliveries are in some replica's hands."""
        return len(self._in_flight)

    @property
    def delivered_again(self) -> int:
        """How many deliveries were not the first of their message."""
        return self.deliveries.total() - self.deliveries["first"]

    def account(self, session_key: SessionKey) -> Account:
        """Return a person's account, opened if there was none."""
        return self.accounts.setdefault(session_key, Account())

    def note_delivery(self, delivery: Delivery, why: Why) -> None:
        """Book a delivery that goes out."""
        message = delivery.message
        if message.number not in self.fates:
            session_key = build_session_key(message.source)
            self.fates[message.number] = Fate(message, session_key)
            self.account(session_key).open.add(message.number)
        self.fates[message.number].deliveries += 1
        self.deliveries[why] += 1
        self._in_flight[delivery.number] = delivery

    def note(self, replica: str, report: Report) -> None:
        """Book what a replica reports."""
        match report:
            case Begun():
                account = self.account(report.session_key)
                account.session_ids[report.session_id] += 1
                account.replicas.add(replica)
                if report.created:
                    account.creators.append(replica)
                turn = SeenTurn(report.token, report.fence, report.at, report.resumed)
                account.turns.append(turn)
                self._running[report.delivery] = turn
            case Answered():
                fate = self._fate_of(report.delivery)
                self.account(fate.session_key).session_ids[report.session_id] += 1
                self._running.pop(report.delivery).ended_at = report.at
                self._close(fate)
                fate.answered_by.append(replica)
            case Refused():
                fate = self._fate_of(report.delivery)
                self._running.pop(report.delivery, None)
                if report.why == "done":
                    self._close(fate)
                    fate.known_done = True
            case Failed():
                fate = self._fate_of(report.delivery)
                self._running.pop(report.delivery, None)
                fate.error = f"{replica}: {report.error}"
                self.account(fate.session_key).open.discard(fate.message.number)

    def note_killed(
        self, replica: str, in_hand: Iterable[Delivery], turns: Sequence[RunningTurn]
    ) -> Kill:
        """Book a kill: what the replica had in hand, and the turns it has left in the store."""
        cut_off: set[int] = set()
        for delivery in in_hand:
            fate = self._fate_of(delivery.number)
            self._running.pop(delivery.number, None)
            fate.died_with.append(replica)
            if not fate.is_answered:
                cut_off.add(delivery.message.number)
        # Some may be left from an earlier kill; those without a fence had not begun.
        left = 0
        for turn in turns:
            known = self.account(turn.session_key).cut_off
            if turn.fence is not None and turn.token not in known:
                known[turn.token] = turn.fence
                left += 1
        kill = Kill(replica, time.monotonic(), frozenset(cut_off), left)
        self.kills.append(kill)
        self._unmended.append(kill)
        return kill

    def mended(self) -> list[Kill]:
        """Return the kills whose messages have all been answered since this was last asked."""
        mended = [
            kill for kill in self._unmended if all(self.fates[n].is_answered for n in kill.messages)
        ]
        self._unmended = [kill for kill in self._unmended if kill not in mended]
        return mended

    def _fate_of(self, delivery: int) -> Fate:
        return self.fates[self._in_flight.pop(delivery).message.number]

    def _close(self, fate: Fate) -> None:
        if not fate.is_answered:
            self.answered += 1
        self.account(fate.session_key).open.discard(fate.message.number)
