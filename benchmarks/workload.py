"""What a workload is: its name, its method in words, what it measures, and how to run it once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, TypeAlias

from benchmarks.sessions import fill, now
from redisstore import SessionResetPolicy, SessionStore, StoreConfig
from tests.servers import Backend, Server

NO_POLICY = SessionResetPolicy()
IDLE_MINUTES = 525_600
IDLE_POLICY = SessionResetPolicy(mode="idle", idle_minutes=IDLE_MINUTES)
"""A policy that fills the expiry index and, with a year, resets nothing while it is measured."""
DAILY_POLICY = SessionResetPolicy(mode="daily")


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of a table: the name in the results file, what people read, and the unit."""

    name: str
    label: str
    unit: str
    optional: bool = False
    """Whether it may be missing, for want of a program that not every machine has."""


class Site(NamedTuple):
    """A server that several workloads use in turn, and the store on it."""

    server: Server
    store: SessionStore
    sessions: int
    """So many, whose chat ids have the stem ``SITE``; every workload leaves it with those."""


SITE = "c"


@dataclass(frozen=True, slots=True)
class Bench:
    """What a workload runs with: a backend, how often to repeat, and how large to be."""

    backend: Backend
    repetitions: int
    scale: float
    stack: ExitStack = field(default_factory=ExitStack, repr=False)
    """Ends the servers that are shared, when all workloads have run on this backend."""
    _sites: dict[int, Site] = field(default_factory=dict, repr=False)

    def size(self, full: int) -> int:
        """Return a size for this run; ``full`` is the one at scale 1."""
        return max(10, round(full * self.scale))

    @contextmanager
    def server(self) -> Iterator[Server]:
        """Start an empty server that persists nothing and frees what it is told to at once."""
        # Valkey's DEL frees in the background by default, which hides what a key took.
        with Server(self.backend, lazyfree_lazy_user_del=False) as server:
            yield server

    @contextmanager
    def store(self, server: Server, policy: SessionResetPolicy) -> Iterator[SessionStore]:
        """Open a store of one partition."""
        with SessionStore.from_url(config=store_config(server, policy)) as store:
            yield store

    def site(self, full: int) -> Site:
        """Return a store filled with so many sessions, an hour old; made once for all workloads."""
        sessions = self.size(full)
        if sessions not in self._sites:
            server = self.stack.enter_context(self.server())
            store = self.stack.enter_context(self.store(server, IDLE_POLICY))
            hour_ago, step = now() - timedelta(hours=1), timedelta(milliseconds=1)
            fill(server, store, SITE, sessions, updated_at=hour_ago, step=step)
            self._sites[sessions] = Site(server, store, sessions)
        return self._sites[sessions]


Repetition: TypeAlias = Mapping[str, float]
"""The value of each measure in one repetition."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing to measure; ``run`` yields once a repetition."""

    name: str
    title: str
    method: str
    measures: tuple[Measure, ...]
    run: Callable[[Bench], Iterator[Repetition]]
    uses_server: bool = True
    """Whether it differs from server to server; one that does not is run once."""
    needs_others: bool = False
    """Whether it needs what the store is compared with, the `bench` extra."""

    def label(self, backend: str) -> str:
        """Return what to call it while it runs on a backend."""
        return f"{self.title}, {backend}" if self.uses_server else self.title


def store_config(server: Server, policy: SessionResetPolicy) -> StoreConfig:
    """Return the settings of all measured stores: the defaults, with time for a busy machine."""
    return StoreConfig(
        url=server.url(),
        partitions=1,
        replica="benchmark",
        default_reset_policy=policy,
        socket_timeout=60,
        deadline=120,
        max_connections=64,
    )
