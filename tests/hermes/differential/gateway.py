"""The modules of the gateway that is installed here, on a clock that stands until it is moved."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from redisstore.connect import SyncClient
from redisstore.keys import KeySpace

START = datetime(2026, 6, 10, 9, 30, tzinfo=UTC)
"""Far from a change of summer time: the gateway's own store is an hour wrong there."""


def module_named(name: str) -> Any:
    """Return a module whose names are changed here."""
    return importlib.import_module(name)


def clocks() -> Any:
    """Return the module with the server's clock, without its package: that needs pytest."""
    path = Path(__file__).resolve().parents[2] / "model" / "clock.py"
    spec = importlib.util.spec_from_file_location("server_clock", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Gateway:
    """Its modules, and its time, which is also that of the server and of redisstore's caches."""

    def __init__(self) -> None:
        self.session = module_named("gateway.session")
        self.config = module_named("gateway.config")
        self.state = module_named("hermes_state")
        self.clocks = clocks()
        self.now = START
        self.server: Any = None
        self.session._now = self.local
        told = SimpleNamespace(**vars(time))
        told.time = lambda: datetime.timestamp(self.now)
        self.state.time = told
        entries = module_named("redisstore.hermes.entries")
        entries.time = SimpleNamespace(monotonic=lambda: (self.now - START).total_seconds() + 1000)

    @property
    def recovers(self) -> bool:
        """Whether this version revives sessions from its database, and knows of ended ones."""
        return hasattr(self.session.SessionStore, "_recover_session_from_db")

    @property
    def promotes(self) -> bool:
        """Whether this is 0.19 or later, which closes rows that were closed by mistake for good."""
        return hasattr(self.state.SessionDB, "promote_to_session_reset")

    @property
    def forgets_resets(self) -> bool:
        """Whether this is 0.13, which does not keep over a restart why a session was reset."""
        return "was_auto_reset" not in inspect.getsource(self.session.SessionEntry.to_dict)

    def local(self) -> datetime:
        """Tell the time as the gateway does: naive, in the zone of this machine."""
        return self.now.astimezone().replace(tzinfo=None)

    def begin(self, client: SyncClient, namespace: str) -> None:
        """Put all clocks to the start, for a store that is to be laid out."""
        self.now = START
        self.server = self.clocks.ServerClock(client, KeySpace(namespace, 1), START)

    def advance(self, milliseconds: int) -> None:
        """Move all clocks on."""
        self.now += timedelta(milliseconds=milliseconds)
        self.server.set(self.now)
