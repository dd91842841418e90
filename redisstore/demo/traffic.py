"""Who writes when, and to which replica: bursts of messages, several replicas at once for each."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from redisstore.demo.crew import Crew, Replica, ReplicaFailed
from redisstore.demo.ledger import Ledger
from redisstore.demo.wire import Answered, Failed, Message, Ready, Report
from redisstore.keys import SessionKey
from redisstore.source import SessionSource, build_session_key

_NEWCOMERS_SHARE = 0.04
_LARGEST_BURST = 4
_THINKING = 0.01, 0.06
_NEW_NAMES = ("Amina", "Bela", "Chidi", "Dana", "Emre", "Freya", "Goran", "Hana", "Ines", "Jonas")
_LOOK_SECONDS = 0.05
_PATIENCE = 60.0
"""Seconds without a word from any replica after which the demo gives up."""


class Traffic:
    """Sends messages to replicas as fast as they take them, and books what they report."""

    def __init__(
        self,
        crew: Crew,
        ledger: Ledger,
        regulars: Sequence[SessionSource],
    ) -> None:
        self.on_look: Callable[[], None] = lambda: None
        """Called about 20 times a second, while anything happens."""
        self.newcomers: dict[SessionKey, SessionSource] = {}
        self.marked = 0
        """Sessions that a restarted replica marked as interrupted."""
        self._crew = crew
        self._ledger = ledger
        self._regulars = regulars
        self._next = 0
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
        """Book reports until every message is answered."""
        while self._ledger.waiting:
            self._look()

    def kill(self, victim: Replica) -> int:
        """Kill a replica and return how many messages it had in flight."""
        for replica, report in self._crew.kill(victim):
            self._note(replica, report)
        lost, victim.in_flight = victim.in_flight, {}
        self._ledger.note_killed(victim.name, lost)
        return len(lost)

    def _someone_starts(self) -> bool:
        return any(replica.state == "starting" for replica in self._crew.replicas)

    def _send_and_look(self) -> None:
        while self._send_burst():
            pass
        self._look()

    def _send_burst(self) -> bool:
        """Let one person write several messages at once; false if the replicas are busy."""
        free = {replica.name: replica.free for replica in self._crew.replicas}
        if sum(free.values()) < _LARGEST_BURST:
            return False
        if random.random() < _NEWCOMERS_SHARE:
            source, size = self._newcomer(), random.randint(2, _LARGEST_BURST)
        else:
            source, size = random.choice(self._regulars), random.randint(1, _LARGEST_BURST)
        for _ in range(size):
            self._send(random.choice([r for r in self._crew.replicas if r.free]), source)
        return True

    def _newcomer(self) -> SessionSource:
        name, number = random.choice(_NEW_NAMES), len(self.newcomers) + 1
        source = SessionSource(platform="telegram", chat_id=f"new-{number}", user_name=name)
        self.newcomers[build_session_key(source)] = source
        return source

    def _send(self, replica: Replica, source: SessionSource) -> None:
        self._next += 1
        message = Message(
            number=self._next,
            source=source,
            input_tokens=random.randint(100, 4000),
            output_tokens=random.randint(10, 900),
            thinking=random.uniform(*_THINKING),
        )
        self._ledger.note_sent(build_session_key(source), message)
        replica.send(message)

    def _look(self) -> None:
        for replica, report in self._crew.reports(_LOOK_SECONDS):
            self._note(replica, report)
            self._heard_at = time.monotonic()
        if time.monotonic() - self._heard_at > _PATIENCE:
            silent = [r.name for r in self._crew.replicas if r.in_flight or r.state == "starting"]
            raise ReplicaFailed(f"{', '.join(silent)}: silent for {_PATIENCE:.0f} s")
        self.on_look()

    def _note(self, replica: Replica, report: Report) -> None:
        self._ledger.note(replica.name, report)
        match report:
            case Ready():
                replica.state = "up"
                self.marked += report.marked
            case Answered() | Failed():
                del replica.in_flight[report.number]
                replica.answered += 1
