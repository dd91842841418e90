"""The replicas, seen from the demo: started, sent messages, killed, started anew, ended."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import IO, Literal, Self, cast

from redisstore.demo.place import Place
from redisstore.demo.settings import MESSAGES_AT_ONCE
from redisstore.demo.wire import REPORTS, Delivery, Message, Report
from redisstore.errors import RedisStoreError

Kind = Literal["threads", "asyncio"]
State = Literal["starting", "up", "killed"]

_END_SECONDS = 10.0


class ReplicaFailed(RedisStoreError):
    """A replica ended, or fell silent, though nobody had asked for it."""

    @classmethod
    def ended(cls, name: str) -> ReplicaFailed:
        """Make the error of a process that ended."""
        return cls(f"{name} ended by itself; what it had to say about it stands above")


class Replica:
    """One replica process after another, under one name. Making it starts the first."""

    def __init__(self, name: str, kind: Kind, environment: Mapping[str, str], inbox: Inbox) -> None:
        self.name = name
        self.kind = kind
        self.starts = 0
        self.answered = 0
        self.in_flight: dict[int, Delivery] = {}
        self.running: set[int] = set()
        """The deliveries in flight whose turns have begun."""
        self._environment = environment
        self._inbox = inbox
        self.start()

    def start(self) -> None:
        """Start a process; its first report says when it is ready."""
        self.state: State = "starting"
        self.starts += 1
        self.process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "redisstore.demo.replica", self.name, self.kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            # Ctrl-C is for the demo, which then ends its replicas.
            start_new_session=True,
        )
        self._to_process = cast("IO[bytes]", self.process.stdin)
        listener = threading.Thread(target=self._listen, args=(self.process,), daemon=True)
        listener.start()

    @property
    def free(self) -> int:
        """How many more messages it can handle at once."""
        return MESSAGES_AT_ONCE - len(self.in_flight) if self.state == "up" else 0

    def send(self, delivery: Delivery) -> None:
        """Hand a message over; it is in flight until the replica is done with it."""
        self.in_flight[delivery.number] = delivery
        try:
            self._to_process.write(delivery.model_dump_json().encode() + b"\n")
            self._to_process.flush()
        except BrokenPipeError as error:
            raise ReplicaFailed.ended(self.name) from error

    def done_with(self, number: int) -> Message:
        """Take a delivery from what is in flight, and return its message."""
        self.running.discard(number)
        return self.in_flight.pop(number).message

    def say_goodbye(self) -> None:
        """Close the pipe, on which the process finishes what it has and ends."""
        with contextlib.suppress(BrokenPipeError):
            self._to_process.close()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        with cast("IO[bytes]", process.stdout) as lines:
            for line in lines:
                self._inbox.put((self, REPORTS.validate_json(line)))
        self._inbox.put((self, None))


Inbox = queue.SimpleQueue[tuple[Replica, Report | None]]
"""What the replicas report, in the order of its arrival; ``None``: the process has ended."""


class Crew:
    """All replicas, for the length of a ``with`` block; the last one uses asyncio."""

    def __init__(self, place: Place, count: int) -> None:
        self.replicas: list[Replica] = []
        self._names = [f"gateway-{number}" for number in range(1, count + 1)]
        self._inbox: Inbox = queue.SimpleQueue()
        self._environment = os.environ | {
            "REDISSTORE_URL": place.url,
            "REDISSTORE_NAMESPACE": place.namespace,
        }

    def __enter__(self) -> Self:
        try:
            for name in self._names:
                kind: Kind = "asyncio" if name == self._names[-1] else "threads"
                self.replicas.append(Replica(name, kind, self._environment, self._inbox))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def reports(self, timeout: float) -> Iterator[tuple[Replica, Report]]:
        """Yield what has arrived, after waiting for it for up to ``timeout`` seconds.

        Raises:
            ReplicaFailed: a replica ended that nobody had killed.

        """
        with contextlib.suppress(queue.Empty):
            arrived = self._inbox.get(timeout=timeout)
            while True:
                replica, report = arrived
                if report is None:
                    raise ReplicaFailed.ended(replica.name)
                yield replica, report
                arrived = self._inbox.get_nowait()

    def kill(self, victim: Replica) -> Iterator[tuple[Replica, Report]]:
        """End a replica with signal 9, and yield all that arrives up to its very last word."""
        victim.process.kill()
        victim.process.wait()
        victim.state = "killed"
        victim.say_goodbye()
        while True:
            replica, report = self._inbox.get()
            if report is not None:
                yield replica, report
            elif replica is victim:
                return
            else:
                raise ReplicaFailed.ended(replica.name)

    def _end(self) -> None:
        for replica in self.replicas:
            replica.say_goodbye()
        for replica in self.replicas:
            try:
                replica.process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                replica.process.kill()
                replica.process.wait()
