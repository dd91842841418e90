"""The rows of one scope in a ``state.db``, replaced in one transaction as the gateway does it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from redisstore.errors import InvalidInput
from redisstore.transfer.material import known_scope
from redisstore.transfer.routing import TABLE, columns, is_database
from redisstore.transfer.target import Target

_PATIENCE = 5.0
"""Seconds to wait for another process."""
_COLUMNS = {"scope", "session_key", "entry_json", "updated_at"}
_CREATE = """CREATE TABLE IF NOT EXISTS gateway_routing (
    scope TEXT NOT NULL DEFAULT '',
    session_key TEXT NOT NULL,
    entry_json TEXT NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (scope, session_key)
)"""
"""As hermes-agent 0.19 makes it (``hermes_state.py``)."""
_SCOPES = "SELECT DISTINCT scope FROM gateway_routing"
_DELETE = "DELETE FROM gateway_routing WHERE scope = ?"
_INSERT = (
    "INSERT INTO gateway_routing (scope, session_key, entry_json, updated_at) VALUES (?, ?, ?, ?)"
)


@contextmanager
def replacing_scope(path: Path, scope: str) -> Iterator[Target]:
    """Collect rows, and write them at the end in place of those that the scope has.

    A database that is not there is made, with mode 0600. After an error everything is as it was.

    Raises:
        InvalidInput: it can't be written, is no database, or another process has it open.

    """
    if not is_database(path):
        raise InvalidInput("path", f"{path} is no database, which a scope needs; call it *.db")
    if not scope:
        raise InvalidInput("scope", "must be the sessions directory of a gateway, not empty")
    goal = Path(os.path.realpath(path))
    is_new = not goal.exists()
    if is_new and not goal.parent.is_dir():
        raise InvalidInput("path", f"{path} can't be written: there is no such directory")
    if not is_new:
        # What would refuse the rows in the end is found before the work.
        with _changing(goal):
            pass
    rows: list[tuple[str, str]] = []
    yield lambda key, row: rows.append((key, row))
    try:
        if is_new:
            goal.touch(0o600, exist_ok=False)
        with _changing(goal) as database:
            _replace(database, scope, rows)
    except BaseException as error:
        if is_new and not isinstance(error, FileExistsError):
            goal.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InvalidInput("path", f"{path} can't be written: {error.strerror}") from error
        raise


@contextmanager
def _changing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that nobody else has open, for one transaction that ends with the block."""
    uri = f"{path.as_uri()}?mode=rw"
    try:
        with closing(
            sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None)
        ) as database:
            # With a write-ahead log this is refused while any other process has the file open: a
            # gateway that runs would overwrite the rows with its own at its next message.
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            database.execute("BEGIN IMMEDIATE")
            there = columns(database, TABLE)
            if there and not there >= _COLUMNS:
                raise InvalidInput("path", f"{path} has a table {TABLE} that is not a gateway's")
            yield database
            database.execute("COMMIT")
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise InvalidInput(
                "path",
                f"{path} is in use by another process: stop the gateway, and export again",
            ) from error
        raise InvalidInput("path", f"{path} can't be written: {error}") from error


def _replace(database: sqlite3.Connection, scope: str, rows: list[tuple[str, str]]) -> None:
    database.execute(_CREATE)
    scopes = {found for (found,) in database.execute(_SCOPES)}
    name, now = known_scope(scope, scopes), time.time()
    database.execute(_DELETE, (name,))
    database.executemany(_INSERT, ((name, key, row, now) for key, row in rows))
