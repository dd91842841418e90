"""From a gateway's ``sessions.json``, ``state.db`` or home into a store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from redisstore.aio.store import AsyncSessionStore
from redisstore.calls.handled import Handled
from redisstore.calls.imports import Verdict
from redisstore.entry import SessionEntry
from redisstore.errors import InvalidInput
from redisstore.keys import SessionKey
from redisstore.sync.store import SessionStore
from redisstore.transfer.amending import corrections
from redisstore.transfer.comparison import Comparison
from redisstore.transfer.material import Material, gather
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
    scope: str | None = None,
    amend: bool = False,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Take a gateway's sessions into a store, as ``import_sessions`` does, 200 a round trip.

    ``path``: a ``sessions.json`` (hermes-agent 0.13 to 0.19); a ``state.db`` (0.18, 0.19), also
    of a gateway that runs, as it is at one moment; or the directory that has both, the gateway's
    home, where the database wins and the file fills in what it lacks. ``scope``: the sessions
    directory of one gateway, of several that share a database. Without, all of them are taken in;
    where they have the same session key, the one that was active last.
    ``zone``: the time zone of the rows' naive times. A wall time that a clock change repeats is
    its first occurrence; one that it skips is read with the offset from before the change.
    An import changes nothing that is as new or newer, is not activity, and can be repeated: one
    that was interrupted is simply run again. ``amend``: put right, too, what differs although the
    last activity is the same; a gateway suspends and marks sessions without activity. Lists the
    store once more, and takes one or two round trips for each of those. While the gateway is
    still the one that is used, that is what you want; later, it takes back what was done since.
    What a row of an export says of handled messages is added to what the store knows.
    A bad row is left out and reported, and the others go on. Keys of a file that begin with ``_``
    are notes. An export gives the same rows back, times cut to milliseconds.

    Raises:
        InvalidInput: the path can't be read, or is none of these; the zone or the scope is unknown.

    """
    local = checked_zone(zone)
    run = _Import(gather(Path(path), scope), local, on_progress)
    for entry, outcome in store.import_sessions(run.entries(), handled=run.handled):
        run.settle(entry, outcome)
    if amend:
        compared = run.comparison()
        for entry in store.list_sessions(on_damaged=compared.meet_damaged):
            compared.meet(entry)
        run.amended = sum(one.apply(store) for one in corrections(compared))
    return run.report()


async def import_file_async(
    store: AsyncSessionStore,
    path: str | PathLike[str],
    *,
    zone: ZoneInfo | str,
    scope: str | None = None,
    amend: bool = False,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Do what ``import_file`` does, for asyncio; the path is read in a thread."""
    local = checked_zone(zone)
    material = await asyncio.to_thread(gather, Path(path), scope)
    run = _Import(material, local, on_progress)
    async for entry, outcome in store.import_sessions(run.entries(), handled=run.handled):
        run.settle(entry, outcome)
    if amend:
        compared = run.comparison()
        async for entry in store.list_sessions(on_damaged=compared.meet_damaged):
            compared.meet(entry)
        run.amended = sum([await one.apply_async(store) for one in corrections(compared)])
    return run.report()


class _Import:
    """One import on its way: which rows are still to come, and what became of the others."""

    def __init__(self, material: Material, zone: ZoneInfo, on_progress: OnProgress | None) -> None:
        self._material = material
        self._zone = zone
        self._reader = RowReader(zone)
        self._on_progress = on_progress
        self._verdicts: Counter[Verdict] = Counter()
        self._bad = list(material.bad)
        self._passed_over: list[BadRow] = []
        self._done = 0
        self.handled: dict[SessionKey, Handled] = {}
        """What the sessions on their way have handled."""
        self.amended = 0

    def entries(self) -> Iterator[SessionEntry]:
        """Yield the rows that are good, one by one as they are asked for."""
        for key in self._material:
            reading = self._material.read(key, self._reader)
            self._bad += reading.bad
            self._passed_over += reading.passed_over
            if reading.entry is None:
                self._advance()
            else:
                if reading.handled:
                    self.handled[reading.entry.session_key] = reading.handled
                yield reading.entry

    def settle(self, entry: SessionEntry, outcome: Verdict | InvalidInput) -> None:
        """Count what the store made of an entry."""
        self.handled.pop(entry.session_key, None)
        if isinstance(outcome, InvalidInput):
            self._bad.append(BadRow(entry.session_key, str(outcome)))
        elif outcome in _REFUSED:
            self._bad.append(BadRow(entry.session_key, _REFUSED[outcome]))
        else:
            self._verdicts[outcome] += 1
        self._advance()

    def comparison(self) -> Comparison:
        """Return a comparison of the same rows with the store as it is by now."""
        return Comparison(self._material, self._zone)

    def report(self) -> ImportReport:
        taken = self._verdicts.total()
        return ImportReport(
            created=self._verdicts["created"],
            updated=self._verdicts["updated"],
            kept=self._verdicts["kept"],
            amended=self.amended,
            bad=tuple(self._bad),
            passed_over=tuple(self._passed_over),
            not_carried_over=MappingProxyType(dict(self._reader.not_carried_over)),
            scopes=MappingProxyType(dict(self._material.scopes)),
            total=taken + len(self._bad) + len(self._passed_over),
        )

    def _advance(self) -> None:
        self._done += 1
        total = len(self._material)
        if self._on_progress and (self._done % _ROWS_A_REPORT == 0 or self._done == total):
            self._on_progress(self._done, total)
