"""From ``sessions.json`` into a store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from redisstore.aio.store import AsyncSessionStore
from redisstore.calls.imports import Verdict
from redisstore.entry import SessionEntry
from redisstore.errors import InvalidInput
from redisstore.sync.store import SessionStore
from redisstore.transfer.document import Document
from redisstore.transfer.reading import RowReader
from redisstore.transfer.report import BadRow, ImportReport, OnProgress
from redisstore.transfer.times import checked_zone

_ROWS_A_REPORT = 100
_REFUSED: dict[Verdict, str] = {
    "future": "updated_at: is more than ten years ahead of the server's clock",
    "damaged": "row: what the store has for this key is damaged and can't be compared",
}


def import_file(
    store: SessionStore,
    path: str | PathLike[str],
    *,
    zone: ZoneInfo | str,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Take a gateway's ``sessions.json`` into a store. One round trip for 200 rows.

    ``zone``: the time zone of the file's naive times. A wall time that a clock change repeats is
    its first occurrence; one that it skips is read with the offset from before the change.
    An import changes nothing that is as new or newer, is not activity, and can be repeated. A bad
    row is left out and reported, and the others go on. Keys that begin with ``_`` are notes.

    Raises:
        InvalidInput: the file can't be read or is no JSON object; the zone is unknown.

    """
    local = checked_zone(zone)
    run = _Import(Document.load(Path(path)), local, on_progress)
    for entry, outcome in store.import_sessions(run.entries()):
        run.settle(entry, outcome)
    return run.report()


async def import_file_async(
    store: AsyncSessionStore,
    path: str | PathLike[str],
    *,
    zone: ZoneInfo | str,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Do what ``import_file`` does, for asyncio; the file is read in a thread."""
    local = checked_zone(zone)
    document = await asyncio.to_thread(Document.load, Path(path))
    run = _Import(document, local, on_progress)
    async for entry, outcome in store.import_sessions(run.entries()):
        run.settle(entry, outcome)
    return run.report()


class _Import:
    """One import on its way: which rows are still to come, and what became of the others."""

    def __init__(self, document: Document, zone: ZoneInfo, on_progress: OnProgress | None) -> None:
        self._document = document
        self._reader = RowReader(zone)
        self._on_progress = on_progress
        self._verdicts: Counter[Verdict] = Counter()
        self._bad: list[BadRow] = []
        self._done = 0

    def entries(self) -> Iterator[SessionEntry]:
        """Yield the rows that are good, one by one as they are asked for."""
        for key, row in self._document:
            entry = self._reader.read(key, row)
            if isinstance(entry, BadRow):
                self._leave_out(entry)
            else:
                yield entry

    def settle(self, entry: SessionEntry, outcome: Verdict | InvalidInput) -> None:
        """Count what the store made of an entry."""
        if isinstance(outcome, InvalidInput):
            self._leave_out(BadRow(entry.session_key, str(outcome)))
        elif outcome in _REFUSED:
            self._leave_out(BadRow(entry.session_key, _REFUSED[outcome]))
        else:
            self._verdicts[outcome] += 1
            self._advance()

    def report(self) -> ImportReport:
        return ImportReport(
            created=self._verdicts["created"],
            updated=self._verdicts["updated"],
            kept=self._verdicts["kept"],
            bad=tuple(self._bad),
            not_carried_over=MappingProxyType(dict(self._reader.not_carried_over)),
            total=len(self._document),
        )

    def _leave_out(self, row: BadRow) -> None:
        self._bad.append(row)
        self._advance()

    def _advance(self) -> None:
        self._done += 1
        total = len(self._document)
        if self._on_progress and (self._done % _ROWS_A_REPORT == 0 or self._done == total):
            self._on_progress(self._done, total)
