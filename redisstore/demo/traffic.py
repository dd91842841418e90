"""Who writes when: bursts of messages, of one person several at once; and who is killed when."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from redisstore.calls.running_turns import RunningTurn
from redisstore.demo.crew import Crew, Replica, ReplicaFailed
from redisstore.demo.ledger import Kill, Ledger
from redisstore.demo.post import Post
from redisstore.demo.wire import Message, Report
from redisstore.keys import SessionKey
from redisstore.source import SessionSource, build_session_key
from redisstore.sync.store import SessionStore

_NEWCOMERS_SHARE = 0.04
_LARGEST_BURST = 4
_THINKING = 0.02, 0.12
_NEW_NAMES = ("Amina", "Bela", "Chidi", "Dana", "Emre", "Freya", "Goran", "Hana", "Ines", "Jonas")
_LOOK_SECONDS = 0.05
_PATIENCE = 60.0
"""Seconds without a word from any replica after which the demo gives up."""
_LAST_ANSWERS = 30.0
"""Seconds for what is under way at the end; the proof names what took longer."""


class Traffic:
    """Has messages sent to replicas as fast as they take them, and books what they report."""

    def __init__(
        self, store: SessionStore, crew: Crew, ledger: Ledger, regulars: Sequence[SessionSource]
    ) -> None:
        self.on_look: Callable[[], None] = lambda: None
        """Called about 20 times a second, while anything happens."""
        self.newcomers: dict[SessionKey, SessionSource] = {}
        self._store = store
        self._crew = crew
        self._ledger = ledger
        self._post = Post(crew, ledger)
        self._regulars = regulars
        self._written = 0
        self._heard_at = time.monotonic()

    def run(self, seconds: float) -> None:
        """Send for so many seconds; what is in flight then stays so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._send_and_look()

    def run_until_ready(self) -> None:
        """Send until a replica that was started anew takes messages too."""
        while self._someone_starts():
            self._send_and_look()

    def wait_until_ready(self) -> None:
        """Send nothing until all replicas take messages."""
        while self._someone_starts():
            self._look()

    def drain(self) -> None:
        """Deliver and book until every message is answered, or that takes too long."""
        end = time.monotonic() + _LAST_ANSWERS
        while self._post.is_busy and time.monotonic() < end:
            self._look()

    def kill(self, victim: Replica) -> Kill:
        """Kill a replica as soon as it is in mid-turn; what it had in hand is delivered again."""
        while not victim.running:
            self._send_and_look()
        for replica, report in self._crew.kill(victim):
            self._note(replica, report)
        # The server may still have to read what the victim sent last; by the second look it has.
        self._turns_of(victim)
        turns = self._turns_of(victim)
        return self._ledger.note_killed(victim.name, self._post.take_back(victim), turns)

    def _turns_of(self, replica: Replica) -> list[RunningTurn]:
        return [turn for turn in self._store.list_turns() if turn.replica == replica.name]

    def _someone_starts(self) -> bool:
        return any(replica.state == "starting" for replica in self._crew.replicas)

    def _send_and_look(self) -> None:
        while self._send_burst():
            pass
        self._look()

    def _send_burst(self) -> bool:
        """Let one person write several messages at once; false if everybody is busy."""
        if sum(replica.free for replica in self._crew.replicas) < _LARGEST_BURST:
            return False
        idle = [one for one in self._regulars if not self._awaits_answer(one)]
        if not idle:
            return False
        if random.random() < _NEWCOMERS_SHARE:
            source, size = self._newcomer(), random.randint(2, _LARGEST_BURST)
        else:
            source, size = random.choice(idle), random.randint(1, _LARGEST_BURST)
        for _ in range(size):
            if any(replica.free for replica in self._crew.replicas):
                self._post.send(self._message(source))
        return True

    def _awaits_answer(self, source: SessionSource) -> bool:
        account = self._ledger.accounts.get(build_session_key(source))
        return account is not None and bool(account.open)

    def _newcomer(self) -> SessionSource:
        name, number = random.choice(_NEW_NAMES), len(self.newcomers) + 1
        source = SessionSource(platform="telegram", chat_id=f"new-{number}", user_name=name)
        self.newcomers[build_session_key(source)] = source
        return source

    def _message(self, source: SessionSource) -> Message:
        self._written += 1
        return Message(
            number=self._written,
            source=source,
            input_tokens=random.randint(100, 4000),
            output_tokens=random.randint(10, 900),
            thinking=random.uniform(*_THINKING),
        )

    def _look(self) -> None:
        self._post.deliver_due()
        for replica, report in self._crew.reports(_LOOK_SECONDS):
            self._note(replica, report)
            self._heard_at = time.monotonic()
        if time.monotonic() - self._heard_at > _PATIENCE:
            silent = [r.name for r in self._crew.replicas if r.in_flight or r.state == "starting"]
            raise ReplicaFailed(f"{', '.join(silent)}: silent for {_PATIENCE:.0f} s")
        self.on_look()

    def _note(self, replica: Replica, report: Report) -> None:
        self._ledger.note(replica.name, report)
        self._post.take(replica, report)
