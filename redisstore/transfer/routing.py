"""The table ``gateway_routing`` of a ``state.db``: where hermes-agent keeps its index since 0.18.

One row a session, as in ``sessions.json``: ``scope`` (the resolved sessions directory of the
gateway), ``session_key``, ``entry_json`` and ``updated_at`` (when the row was written).
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from redisstore.errors import InvalidInput
from redisstore.transfer.document import DECODER
from redisstore.transfer.layer import Layer, Row

TABLE = "gateway_routing"
_ROWS = "SELECT scope, session_key, entry_json FROM gateway_routing"
_MAGIC = b"SQLite format 3\0"
_PATIENCE = 5.0
"""Seconds to wait for a writer. A gateway's writes take milliseconds."""


def is_database(path: Path) -> bool:
    """Say whether a file is called like a database, ``*.db``, or begins like one."""
    if path.suffix == ".db":
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class Routing:
    """What a ``state.db`` had at one moment: its routing rows, and which conversations ended."""

    rows: list[tuple[str, str, bytes]]
    """Scope, session key and JSON; bytes that are no UTF-8 as surrogates in the first two."""
    ended: Mapping[str, str]
    """By session id, why its conversation ended."""

    @property
    def scopes(self) -> Counter[str]:
        """How many rows each scope has."""
        return Counter(scope for scope, _, _ in self.rows)

    def layer(self, scope: str | None) -> Layer:
        """Return the rows of one scope, or of all, by session key."""
        layer: Layer = {}
        for where, key, text in self.rows:
            if scope in (None, where):
                layer.setdefault(key, []).append(Row(where, partial(_value, text)))
        return layer

    @classmethod
    def load(cls, path: Path) -> Routing | None:
        """Read a database, of a live gateway too, in one read transaction; it is not changed.

        ``None``: it has no such table, for its gateway is older than 0.18.

        Raises:
            InvalidInput: it can't be read, is no database, or stays locked for five seconds.

        """
        if not path.is_file():
            raise InvalidInput("path", f"{path} can't be read: there is no such file")
        uri = f"{path.resolve().as_uri()}?mode=ro"
        try:
            with closing(
                sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None)
            ) as database:
                # Text that is no UTF-8 must be one bad row, not the end of all.
                database.text_factory = bytes
                database.execute("BEGIN")
                if not columns(database, TABLE):
                    return None
                found = database.execute(_ROWS)
                rows = [(_text(scope), _text(key), _raw(json)) for scope, key, json in found]
                return cls(rows, _ended(database))
        except sqlite3.Error as error:
            raise InvalidInput("path", f"{path} can't be read: {error}{_advice(error)}") from error


def columns(database: sqlite3.Connection, table: str) -> set[str]:
    """Return the names of a table's columns; none: there is no such table."""
    found = database.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return {_text(name) for (name,) in found}


def _ended(database: sqlite3.Connection) -> dict[str, str]:
    if not columns(database, "sessions") >= {"id", "end_reason"}:
        return {}
    found = database.execute("SELECT id, end_reason FROM sessions WHERE end_reason IS NOT NULL")
    return {_text(session_id): _text(reason) for session_id, reason in found}


def _raw(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _text(value: object) -> str:
    return _raw(value).decode(errors="surrogateescape")


def _value(text: bytes) -> object:
    value: object = DECODER.decode(text.decode())
    return value


def _advice(error: sqlite3.Error) -> str:
    if "unable to open" not in str(error):
        return ""
    return " (if the directory is read-only, copy the file and its -wal elsewhere)"
