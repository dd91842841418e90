"""Runs in the gateway's environment: URL SESSIONS; prints what messages took, as JSON."""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

OWN, PLUGIN = 7, 700
"""Messages; the gateway's own store takes seconds for one when it is large."""


def main() -> None:
    """Measure both stores, with the same people."""
    url, count = sys.argv[1], int(sys.argv[2])
    os.environ["REDISSTORE_URL"] = url
    session: Any = importlib.import_module("gateway.session")
    config = importlib.import_module("gateway.config").GatewayConfig()
    own_class = session.SessionStore
    home = Path(os.environ["HERMES_HOME"])
    people = [source(session, number) for number in range(count)]

    own = own_class(home / "own", config)
    own._ensure_loaded()
    own._entries.update({entry.session_key: entry for entry in entries(session, own, people)})
    own._save()
    chance = random.Random(1)
    took = {"own": messages(own, chance.choices(people, k=OWN))}

    making = importlib.import_module("redisstore.hermes.making")
    plugin = importlib.import_module("redisstore.hermes.plugin").Plugin()
    shared = making.shared(own_class, session, plugin)(home / "plugin", config)
    stored = (entry_of(entry) for entry in entries(session, shared, people))
    assert sum(1 for _ in shared.shared.import_sessions(stored)) == count
    took["plugin"] = messages(shared, chance.choices(people, k=PLUGIN))
    print(json.dumps(took))


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


def messages(store: Any, people: list[Any]) -> list[float]:
    """What a message asks of the store, without a turn: resolve the session, record activity."""
    took = []
    for person in people:
        began = time.perf_counter()
        entry = store.get_or_create_session(person)
        store.update_session(entry.session_key, last_prompt_tokens=1000)
        took.append(time.perf_counter() - began)
    return took


if __name__ == "__main__":
    main()
