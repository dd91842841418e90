"""What the tests of the command line have in common: names, sessions, and how output is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from typer.testing import Result

from redisstore import SessionEntry, SessionId, SessionKey, SessionSource, SessionStore

Run: TypeAlias = Callable[..., Result]
"""Runs a command with these arguments; ``url`` stands for ``REDISSTORE_URL``."""

KEY = SessionKey("agent:main:telegram:dm:42")
STRANGE = "a\n\x1b[31m[red]b[/red]\u202e\x00 c\\'\"{}*\u00e9"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def source(chat: str, name: str | None = None) -> SessionSource:
    return SessionSource(platform="telegram", chat_id=chat, chat_name=name)


def put(store: SessionStore, key: str, updated_at: datetime, **fields: Any) -> None:
    entry = SessionEntry(
        session_key=SessionKey(key),
        session_id=SessionId(f"id-{key}"),
        created_at=updated_at,
        updated_at=updated_at,
        version=1,
        **fields,
    )
    assert [verdict for _, verdict in store.import_sessions([entry])] == ["created"]


def document(result: Result) -> Any:
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]
