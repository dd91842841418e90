"""Entries of a given age, for tests: an import keeps their times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from redisstore import SessionEntry, SessionId, SessionKey, SessionSource, SessionStore

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def source(name: str, platform: str = "telegram") -> SessionSource:
    """Return where ``name`` writes from."""
    return SessionSource(platform=platform, chat_id=name)


def key(name: str, platform: str = "telegram") -> SessionKey:
    """Return the session key of ``name``."""
    return SessionKey(f"agent:main:{platform}:dm:{name}")


def aged(
    name: str, age: timedelta, *, platform: str = "telegram", **fields: object
) -> SessionEntry:
    """Make an entry that was last active ``age`` ago."""
    return SessionEntry.model_validate(
        {
            "session_key": key(name, platform),
            "session_id": SessionId(f"20260101_000000_{name}"),
            "created_at": NOW - age - DAY,
            "updated_at": NOW - age,
            "version": 1,
            "origin": source(name, platform),
            "platform": platform,
            **fields,
        }
    )


def put(store: SessionStore, entries: Iterable[SessionEntry]) -> None:
    """Store entries as they are."""
    for entry, verdict in store.import_sessions(entries):
        assert verdict in {"created", "updated"}, (entry.session_key, verdict)
