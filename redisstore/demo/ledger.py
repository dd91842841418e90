"""The demo's own book-keeping: what was sent, and what the replicas say the store answered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from redisstore.demo.wire import Answered, Begun, Failed, Message, Report
from redisstore.keys import SessionId, SessionKey


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
class Account:
    """What was recorded about the messages of one person."""

    session_ids: Counter[SessionId] = field(default_factory=Counter)
    replicas: set[str] = field(default_factory=set)
    creators: list[str] = field(default_factory=list)
    acknowledged: Tokens = Tokens()
    abandoned: list[Message] = field(default_factory=list)
    """In flight in a replica when it was killed: each was counted by the store, or was not."""
    taken_over: bool = False
    """Whether another replica has handled a message since the kill."""


@dataclass
class Ledger:
    """All accounts, and the messages between being sent and being answered."""

    accounts: dict[SessionKey, Account] = field(default_factory=dict)
    sent: int = 0
    answered: int = 0
    abandoned: int = 0
    failures: list[str] = field(default_factory=list)
    killed: str | None = None
    """The replica that was killed, once it was."""
    _in_flight: dict[int, tuple[SessionKey, Message]] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """How many messages are neither answered, nor failed, nor abandoned."""
        return len(self._in_flight)

    def account(self, session_key: SessionKey) -> Account:
        """Return a person's account, opened if there was none."""
        return self.accounts.setdefault(session_key, Account())

    def note_sent(self, session_key: SessionKey, message: Message) -> None:
        """Book a message that goes out."""
        self.sent += 1
        self._in_flight[message.number] = session_key, message

    def note(self, replica: str, report: Report) -> None:
        """Book what a replica reports."""
        match report:
            case Begun():
                account = self.account(report.session_key)
                account.session_ids[report.session_id] += 1
                account.replicas.add(replica)
                account.taken_over |= self._is_another(replica)
                if report.created:
                    account.creators.append(replica)
            case Answered():
                session_key, message = self._in_flight.pop(report.number)
                account = self.account(session_key)
                account.session_ids[report.session_id] += 1
                account.acknowledged += tokens_of(message)
                account.taken_over |= self._is_another(replica)
                self.answered += 1
            case Failed():
                del self._in_flight[report.number]
                self.failures.append(f"{replica}: {report.error}")

    def _is_another(self, replica: str) -> bool:
        return self.killed is not None and replica != self.killed

    def note_killed(self, replica: str, in_flight: dict[int, Message]) -> None:
        """Book a kill, with the messages that nobody will answer any more."""
        self.killed = replica
        self.abandoned += len(in_flight)
        for number in in_flight:
            session_key, message = self._in_flight.pop(number)
            self.account(session_key).abandoned.append(message)
