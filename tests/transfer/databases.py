"""A ``state.db`` such as hermes-agent 0.19 writes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from tests.transfer.files import Row

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


def rows_of(path: Path, scope: str = SCOPE) -> dict[str, Row]:
    """Return what the gateway's loader gets from its table."""
    with closing(sqlite3.connect(path)) as database:
        found: Iterable[tuple[str, str]] = database.execute(
            "SELECT session_key, entry_json FROM gateway_routing WHERE scope = ?", (scope,)
        ).fetchall()
    return {key: json.loads(text) for key, text in found}


@contextmanager
def gateway(path: Path, *statements: str) -> Iterator[None]:
    """Run a process that has a database open, as a gateway has, and has just done this to it."""
    code = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.execute("SELECT count(*) FROM gateway_routing").fetchall()
for statement in sys.argv[2:]:
    database.execute(statement)
print("ready", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(path), *statements]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
