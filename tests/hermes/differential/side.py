"""One of the two stores that are compared, with all that belongs to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redisstore import SessionStore, StoreConfig
from redisstore.errors import NoSuchSession
from redisstore.hermes.making import shared
from redisstore.hermes.plugin import Plugin
from redisstore.keys import SessionKey

from .gateway import Gateway, module_named

UNKNOWN = "20200101_000000_never0known0"
_PROCESS = "gateway"


class RegistryBroken(RuntimeError):
    """Raised by the process registry of a sequence that says so."""


class Side:
    """The gateway's own store; names for session ids, so that other ids compare equal."""

    is_plugin = False

    def __init__(self, gateway: Gateway, directory: Path, config: Any, template: Path) -> None:
        self.gateway = gateway
        self.config = config
        self.directory = directory
        self.processes: dict[str, str] = {}
        self.held: dict[int, Any] = {}
        """By lane: the entry that was handed out last, as the gateway keeps it in a turn."""
        self.ids: list[str] = []
        self.is_dirty = False
        directory.mkdir(parents=True)
        self._database = directory / "state.db"
        self._database.write_bytes(template.read_bytes())
        self.store: Any = None
        self.open()
        self._rows = sqlite3.connect(self._database, isolation_level=None)

    def open(self) -> None:
        """Make the store, as a gateway does when it starts."""
        self.gateway.state.DEFAULT_DB_PATH = self._database
        self.store = self._class()(
            self.directory / "sessions", self.config, has_active_processes_fn=self._has_process
        )

    def restart(self) -> None:
        """Make another store on the same data."""
        self.held.clear()
        self._close_store()
        self.open()

    def close(self) -> None:
        """Let go of everything."""
        self._close_store()
        self._rows.close()

    def forget(self) -> None:
        """Drop what is cached, if anything is."""

    def lose(self, key: str) -> None:
        """Have no session any more for a key."""
        self.store._ensure_loaded()
        with self.store._lock:
            self.store._entries.pop(key, None)
            self.store._save()
        self.is_dirty = False

    def in_step(self) -> None:
        """Tell the store which processes run now, if it has to be told."""

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Return what the database says of sessions."""
        yield from self._rows.execute("SELECT id, end_reason, source, user_id FROM sessions")

    def name(self, session_id: str) -> str:
        """Return the name of a session id: the how manieth that has been seen."""
        if session_id not in self.ids:
            self.ids.append(session_id)
        return f"id {self.ids.index(session_id)}"

    def id_named(self, number: int) -> str:
        """Return the session id with a name, or one that is of no session."""
        return self.ids[number] if number < len(self.ids) else UNKNOWN

    def id_of(self, name: str) -> str:
        """Return the session id that has a name."""
        return next(found for found in self.ids if self.name(found) == name)

    @contextmanager
    def broken_counts_as_running(self) -> Iterator[None]:
        """Have a process registry that fails say meanwhile that there is a process."""
        before = self.processes
        self.processes = {k: "runs" if v == "fails" else v for k, v in before.items()}
        try:
            yield
        finally:
            self.processes = before

    def _class(self) -> Any:
        return self.gateway.session.SessionStore

    def _close_store(self) -> None:
        self.store._db.close()

    def _has_process(self, key: str) -> bool:
        state = self.processes.get(key)
        if state == "fails":
            raise RegistryBroken(key)
        return state == "runs"


class PluginSide(Side):
    """The plugin's store, on a server whose clock stands too."""

    is_plugin = True

    def open(self) -> None:
        gateway = self.gateway

        class Clocked:
            @staticmethod
            def from_url(*, config: StoreConfig) -> SessionStore:
                store = SessionStore.from_url(config=config)
                clocked: SessionStore = gateway.clocks.put_on_clocks(store, gateway.server)
                return clocked

        plugin_store = module_named("redisstore.hermes.store")
        plugin_store.SessionStore = Clocked
        try:
            super().open()
        finally:
            plugin_store.SessionStore = SessionStore

    def forget(self) -> None:
        """Drop what is cached of the sessions in Redis."""
        self.store._entries.clear()

    def lose(self, key: str) -> None:
        """Have no session any more for a key."""
        self.store._save()
        self.store.shared.delete_session(SessionKey(key))
        self.forget()

    def in_step(self) -> None:
        """Do at once what the plugin's own thread does soon: hold what a process belongs to."""
        for key in self.processes:
            session_key = SessionKey(key)
            if self.processes[key] == "none":
                self.store.shared.release_hold(session_key, _PROCESS)
                continue
            try:
                self.store.shared.take_hold(session_key, _PROCESS)
            except NoSuchSession:
                continue

    def _class(self) -> Any:
        module = self.gateway.session
        return shared(module.SessionStore, module, Plugin())

    def _close_store(self) -> None:
        super()._close_store()
        self.store.shared.close()
