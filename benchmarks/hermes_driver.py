"""Runs in the gateway's environment: URL SESSIONS REPETITIONS WORK...; prints JSON.

A work is `own.` or `plugin.`, for whose store, and what `Works` can do with it. Printed are the
seconds of each repetition; the plugin gets a hundred times as many.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

_MORE_OF_THE_PLUGIN = 100
_LATEST = 1000


def main() -> None:
    """Measure what is asked for, with the same people for both stores."""
    url, count, repetitions, *wanted = sys.argv[1:]
    os.environ["REDISSTORE_URL"] = url
    session: Any = importlib.import_module("gateway.session")
    config = importlib.import_module("gateway.config").GatewayConfig()
    people = [source(session, number) for number in range(int(count))]
    home = Path(os.environ["HERMES_HOME"])
    took: dict[str, list[float]] = {}
    for whose, fill in (("own", filled_own), ("plugin", filled_plugin)):
        names = [name for name in wanted if name.startswith(whose)]
        if not names:
            continue
        works = Works(fill(session, config, home, people), session, config, people)
        times = int(repetitions) * (_MORE_OF_THE_PLUGIN if whose == "plugin" else 1)
        for name in names:
            work = getattr(works, name.partition(".")[2])
            took[name] = [work() for _ in range(times)]
    print(json.dumps(took))


def filled_own(session: Any, config: Any, home: Path, people: list[Any]) -> Any:
    """Return the gateway's own store, with the sessions of people."""
    own = session.SessionStore(home / "own", config)
    own._ensure_loaded()
    own._entries.update({entry.session_key: entry for entry in entries(session, own, people)})
    own._save()
    return own


def filled_plugin(session: Any, config: Any, home: Path, people: list[Any]) -> Any:
    """Return the plugin's store, with the same."""
    making = importlib.import_module("redisstore.hermes.making")
    plugin = importlib.import_module("redisstore.hermes.plugin").Plugin()
    shared = making.shared(session.SessionStore, session, plugin)(home / "plugin", config)
    stored = (entry_of(entry) for entry in entries(session, shared, people))
    assert sum(1 for _ in shared.shared.import_sessions(stored)) == len(people)
    return shared


class Works:
    """What is measured; each method does it once and returns the seconds."""

    def __init__(self, store: Any, session: Any, config: Any, people: list[Any]) -> None:
        self._store, self._session, self._config = store, session, config
        self._people = people
        self._random = random.Random(1)
        self._new = len(people)

    def message(self) -> float:
        """Resolve the session of a message."""
        person = self._random.choice(self._people)
        began = time.perf_counter()
        self._store.get_or_create_session(person)
        return time.perf_counter() - began

    def new(self) -> float:
        """Resolve a session that is not there yet."""
        person = source(self._session, self._new)
        self._new += 1
        began = time.perf_counter()
        self._store.get_or_create_session(person)
        return time.perf_counter() - began

    def turn(self) -> float:
        """What a message asks of the store when it is answered: the session, then counters."""
        person = self._random.choice(self._people)
        began = time.perf_counter()
        entry = self._store.get_or_create_session(person)
        self._store.update_session(entry.session_key, last_prompt_tokens=1000)
        return time.perf_counter() - began

    def latest(self) -> float:
        """List sessions; it lists all, and the first thousand are taken."""
        began = time.perf_counter()
        found = self._store.list_sessions()[:_LATEST]
        took = time.perf_counter() - began
        assert len(found) == min(_LATEST, len(self._store._entries))
        return took

    def prune(self) -> float:
        """Prune a tenth, which is made old beforehand and young again afterwards."""
        known = self._store._entries
        old = dict(list(known.items())[: len(self._people) // 10])
        for entry in old.values():
            entry.updated_at -= timedelta(days=200)
        began = time.perf_counter()
        removed = self._store.prune_old_entries(90)
        took = time.perf_counter() - began
        assert removed == len(old)
        for entry in old.values():
            entry.updated_at += timedelta(days=200)
        known.update(old)
        return took

    def start(self) -> float:
        """Open the store on what was last saved, and load it."""
        began = time.perf_counter()
        store = self._session.SessionStore(self._store.sessions_dir, self._config)
        store._ensure_loaded()
        took = time.perf_counter() - began
        assert len(store._entries) == len(self._store._entries), len(store._entries)
        return took


def source(session: Any, number: int) -> Any:
    """A person on Telegram."""
    return session.SessionSource(
        platform=session.Platform.TELEGRAM,
        chat_id=str(100_000_000 + number),
        chat_name=f"Person {number}",
        user_id=str(100_000_000 + number),
        user_name=f"Person {number}",
    )


def entries(session: Any, store: Any, people: list[Any]) -> Any:
    """Sessions of people, as the gateway has them."""
    now = datetime.now()  # noqa: DTZ005 - the gateway's times are naive
    for number, person in enumerate(people):
        yield session.SessionEntry(
            session_key=store._generate_session_key(person),
            session_id=f"20260101_000000_{number:08x}",
            created_at=now,
            updated_at=now,
            origin=person,
            display_name=person.chat_name,
            platform=person.platform,
        )


def entry_of(entry: Any) -> Any:
    """The same as redisstore has it."""
    entry_class: Any = importlib.import_module("redisstore").SessionEntry
    conversion = importlib.import_module("redisstore.hermes.conversion")
    return entry_class(
        session_key=entry.session_key,
        session_id=entry.session_id,
        created_at=conversion.from_local(entry.created_at),
        updated_at=conversion.from_local(entry.updated_at),
        version=1,
        origin=conversion.to_source(entry.origin),
        display_name=entry.display_name,
        platform=entry.platform.value,
    )


if __name__ == "__main__":
    main()
