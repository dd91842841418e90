"""A ``state.db`` such as hermes-agent 0.19 writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

SCOPE = "/srv/gateway/sessions"
CREATE = """CREATE TABLE gateway_routing (
    scope TEXT NOT NULL DEFAULT '',
    session_key TEXT NOT NULL,
    entry_json TEXT NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (scope, session_key)
)"""
INSERT = "INSERT INTO gateway_routing VALUES (?, ?, ?, 0)"


def put_table(path: Path, rows: Mapping[str, object], scope: str = SCOPE) -> Path:
    """Add rows of a scope to a database: text as it is, anything else as JSON."""
    with closing(sqlite3.connect(path)) as database, database:
        if not database.execute("PRAGMA table_info(gateway_routing)").fetchall():
            database.execute(CREATE)
        for key, row in rows.items():
            text = row if isinstance(row, str | bytes) else json.dumps(row)
            database.execute(INSERT, (scope, key, text))
    return path


def put_ended(path: Path, reasons: Mapping[str, str | None]) -> None:
    """Say of conversations, by session id, why they ended; ``None``: they go on."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE sessions (id TEXT PRIMARY KEY, end_reason TEXT)")
        database.executemany("INSERT INTO sessions VALUES (?, ?)", reasons.items())


def rows_of(path: Path, scope: str = SCOPE) -> dict[str, object]:
    """Return what the gateway's loader gets from its table."""
    with closing(sqlite3.connect(path)) as database:
        found: Iterable[tuple[str, str]] = database.execute(
            "SELECT session_key, entry_json FROM gateway_routing WHERE scope = ?", (scope,)
        ).fetchall()
    return {key: json.loads(text) for key, text in found}
