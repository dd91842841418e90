"""Lanes by a short name: their source, their session key, and how they look when long unused."""

from __future__ import annotations

from datetime import datetime

from redisstore import SessionEntry, SessionId, SessionKey, SessionSource, build_session_key

__all__ = ["key_of", "source_of", "unused_since"]


def source_of(name: str) -> SessionSource:
    """The source of a lane's messages."""
    return SessionSource(platform="telegram", chat_id=name, chat_name=f"Chat {name}")


def key_of(name: str) -> SessionKey:
    """The session key of a lane."""
    return build_session_key(source_of(name))


def unused_since(name: str, moment: datetime) -> SessionEntry:
    """The entry of a lane whose last activity was then, to be imported."""
    return SessionEntry(
        session_key=key_of(name),
        session_id=SessionId(f"old-{name}"),
        created_at=moment,
        updated_at=moment,
        version=1,
        origin=source_of(name),
        display_name=f"Chat {name}",
        platform="telegram",
        total_tokens=1,
    )
