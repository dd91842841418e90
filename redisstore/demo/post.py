"""The platforms' side: a message is delivered again until one delivery of it is acknowledged.

And now and then also without need, as webhooks are: to two gateways at once, or after the answer.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time

from redisstore.demo.crew import Crew, Replica
from redisstore.demo.ledger import Ledger, Why
from redisstore.demo.wire import Answered, Begun, Delivery, Failed, Message, Ready, Refused, Report

_TWINS_SHARE, _REPEATS_SHARE = 0.1, 0.05
_PAUSE = 0.3, 0.6
"""Seconds until the next delivery."""


class Post:
    """Brings messages to replicas, and takes in what becomes of each delivery."""

    def __init__(self, crew: Crew, ledger: Ledger) -> None:
        self._crew = crew
        self._ledger = ledger
        self._delivered = 0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Message, Why, str]] = []

    @property
    def is_busy(self) -> bool:
        """Whether a delivery is under way, or due later."""
        return bool(self._due or self._ledger.in_flight)

    def send(self, message: Message) -> None:
        """Deliver a new message; some replica must be free."""
        first = self._deliver(message, "first")
        if random.random() < _TWINS_SHARE and any(r.free for r in self._crew.replicas):
            self._deliver(message, "twin", avoid=first)

    def deliver_due(self) -> None:
        """Deliver again what it is time for, as far as replicas are free."""
        while (
            self._due
            and self._due[0][0] <= time.monotonic()
            and any(replica.free for replica in self._crew.replicas)
        ):
            _, _, message, why, last = heapq.heappop(self._due)
            self._deliver(message, why, avoid=last)

    def take(self, replica: Replica, report: Report) -> None:
        """Take in what a replica reports."""
        match report:
            case Ready():
                replica.state = "up"
            case Begun():
                replica.running.add(report.delivery)
            case Answered():
                message = replica.done_with(report.delivery)
                replica.answered += 1
                if random.random() < _REPEATS_SHARE:
                    self._later(message, "repeat", replica)
            case Refused():
                message = replica.done_with(report.delivery)
                if report.why != "done":
                    self._later(message, "retry", replica)
            case Failed():
                replica.done_with(report.delivery)

    def take_back(self, victim: Replica) -> list[Delivery]:
        """Return what a dead replica had in hand; it will be delivered again."""
        in_hand = list(victim.in_flight.values())
        for delivery in in_hand:
            self._later(victim.done_with(delivery.number), "retry", victim)
        return in_hand

    def _later(self, message: Message, why: Why, last: Replica) -> None:
        at = time.monotonic() + random.uniform(*_PAUSE)
        heapq.heappush(self._due, (at, next(self._order), message, why, last.name))

    def _deliver(self, message: Message, why: Why, avoid: str = "") -> str:
        """Hand a message to a replica, to another one than the last if that can be."""
        self._delivered += 1
        free = [replica for replica in self._crew.replicas if replica.free]
        others = [replica for replica in free if replica.name != avoid]
        replica = random.choice(others or free)
        delivery = Delivery(number=self._delivered, message=message)
        self._ledger.note_delivery(delivery, why)
        replica.send(delivery)
        return replica.name
