"""What there is to take in: a file, a database or a gateway's home, as one row a session key.

The rules are those of the gateway's own loader (``_ensure_loaded_locked`` of hermes-agent 0.19):
rows of the database win, and the file fills in keys for which the database has no good row.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from redisstore.calls.handled import Handled
from redisstore.entry import SessionEntry
from redisstore.errors import InvalidInput
from redisstore.transfer.document import NOTE, Document
from redisstore.transfer.layer import Layer, Row
from redisstore.transfer.reading import RowReader
from redisstore.transfer.report import BadRow, printable
from redisstore.transfer.routing import TABLE, Routing, is_database


class _Good(NamedTuple):
    """What a good row comes to: an entry, and the messages that its session has handled."""

    entry: SessionEntry
    handled: Handled


@dataclass(slots=True)
class Reading:
    """What the rows of one session key come to: one entry or none, and the rows besides."""

    entry: SessionEntry | None = None
    handled: Handled = field(default_factory=dict)
    """The messages that its session has handled."""
    bad: list[BadRow] = field(default_factory=list)
    passed_over: list[BadRow] = field(default_factory=list)


class Material:
    """The rows of a path by session key. They are parsed when they are read, and not kept."""

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        scopes: Mapping[str, int] | None = None,
        ended: Mapping[str, str] | None = None,
        bad: Sequence[BadRow] = (),
    ) -> None:
        """Put layers together, the first in front."""
        self._layers = layers
        self._ended = ended or {}
        self.scopes = scopes or {}
        """How many rows each scope has that is taken in; a file has none."""
        self.bad = bad
        """What can't be read at all."""
        self._keys = dict.fromkeys(key for layer in layers for key in layer)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        """Yield each session key once."""
        return iter(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def read(self, key: str, reader: RowReader) -> Reading:
        """Read the rows of a session key. Of several good ones, the latest active counts."""
        reading = Reading()
        for layer in self._layers:
            found = [(row, _read(key, row, reader)) for row in layer.get(key, ())]
            reading.bad += [self._placed(row, it) for row, it in found if isinstance(it, BadRow)]
            good = [(row, it) for row, it in found if isinstance(it, _Good)]
            if good:
                self._choose(good, reading)
                break
        return reading

    def _choose(self, good: Sequence[tuple[Row, _Good]], reading: Reading) -> None:
        alive = [(row, it.entry) for row, it in good if it.entry.session_id not in self._ended]
        latest = max(alive, key=lambda one: one[1].updated_at, default=None)
        for row, (entry, handled) in good:
            if entry.session_id in self._ended:
                reason = printable(self._ended[entry.session_id])
                problem = f"its conversation {entry.session_id} has ended: {reason}"
            elif latest and row is not latest[0]:
                problem = (
                    f"was active until {_moment(entry)}, and until {_moment(latest[1])}"
                    f" in {printable(latest[0].where)}"
                )
            else:
                reading.entry, reading.handled = entry, handled
                continue
            reading.passed_over.append(self._placed(row, BadRow(entry.session_key, problem)))

    def _placed(self, row: Row, bad: BadRow) -> BadRow:
        """Say where a row is, if there are several places."""
        if len(self._layers) <= 1 and len(self.scopes) <= 1:
            return bad
        return BadRow(bad.key, f"{bad.problem} (in {printable(row.where)})")


def gather(path: Path, scope: str | None) -> Material:
    """Find what a path has: ``sessions.json``, ``state.db``, or the directory with both.

    Raises:
        InvalidInput: it can't be read, has no sessions, or not that scope.

    """
    if path.is_dir():
        return _home(path, scope)
    if is_database(path):
        routing = Routing.load(path)
        if routing is None:
            raise InvalidInput(
                "path",
                f"{path} has no table {TABLE}: hermes-agent before 0.18 has its sessions in"
                " sessions/sessions.json",
            )
        return _tabled(routing, scope, [])
    if scope is not None:
        raise InvalidInput("scope", f"{path} is no database, and only those have scopes")
    return Material([Document.load(path).layer()])


def _home(path: Path, scope: str | None) -> Material:
    """Put a gateway's database and file together, as far as they are there."""
    database, file = path / "state.db", path / "sessions" / "sessions.json"
    routing = Routing.load(database) if database.is_file() else None
    if routing is None and not file.is_file():
        raise InvalidInput(
            "path",
            f"{path} is no gateway's home: it has no state.db with {TABLE},"
            " and no sessions/sessions.json",
        )
    if routing is None:
        if scope is not None:
            raise InvalidInput("scope", f"{path} has no table {TABLE}, and only that has scopes")
        return Material([Document.load(file).layer()])
    below: list[Layer] = []
    bad: list[BadRow] = []
    if file.is_file() and _belongs(file, routing, scope):
        try:
            below = [Document.load(file).layer()]
        except InvalidInput as error:
            # The gateway goes on with its database alone.
            bad = [BadRow(file.name, printable(str(error)))]
    return _tabled(routing, scope, below, bad)


def _belongs(file: Path, routing: Routing, scope: str | None) -> bool:
    """Say whether the file is the scope's: not if the database has rows of another for it."""
    own = str(file.parent.resolve())
    return scope is None or own not in routing.scopes or known_scope(scope, routing.scopes) == own


def _tabled(
    routing: Routing,
    scope: str | None,
    below: Sequence[Layer] = (),
    bad: Sequence[BadRow] = (),
) -> Material:
    scopes: Mapping[str, int] = routing.scopes
    if scope is not None:
        scope = known_scope(scope, scopes)
        if scope not in scopes:
            known = ", ".join(sorted(map(printable, scopes))) or "none"
            raise InvalidInput("scope", f"{scope!r:.200} has no rows; there are: {known:.1000}")
        scopes = {scope: scopes[scope]}
    return Material([routing.layer(scope), *below], scopes=scopes, ended=routing.ended, bad=bad)


def known_scope(scope: str, scopes: Container[str]) -> str:
    """Return a scope as the database spells it: as given if it is there, else the resolved path."""
    return scope if scope in scopes else str(Path(scope).resolve())


def _read(key: str, row: Row, reader: RowReader) -> _Good | BadRow:
    if key.startswith(NOTE):
        return BadRow(printable(key), f"session_key: begins with {NOTE!r}, as only notes do")
    try:
        value = row.value()
    except (ValueError, RecursionError) as error:
        return BadRow(printable(key), f"row: is no JSON: {error}")
    entry = reader.read(key, value)
    return entry if isinstance(entry, BadRow) else _Good(entry, reader.handled(value))


def _moment(entry: SessionEntry) -> str:
    return f"{entry.updated_at:%Y-%m-%d %H:%M:%S} UTC"
