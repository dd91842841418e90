"""A store beside what it was filled from: which sessions differ, and in which fields."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from redisstore.aio.store import AsyncSessionStore
from redisstore.entry import SessionEntry
from redisstore.errors import CorruptEntry, InvalidInput
from redisstore.fields import decode_entry, encode_entry, flatten
from redisstore.keys import SessionKey
from redisstore.sync.store import SessionStore
from redisstore.transfer.material import Material, gather
from redisstore.transfer.reading import RowReader
from redisstore.transfer.report import (
    BadRow,
    Difference,
    FieldDifference,
    OnProgress,
    VerifyReport,
    printable,
)
from redisstore.transfer.times import checked_zone
from redisstore.transfer.writing import OF_OURS

_ROWS_A_REPORT = 100
_PARTS = ("origin", "model_override")


def verify_file(
    store: SessionStore,
    path: str | PathLike[str],
    *,
    zone: ZoneInfo | str,
    scope: str | None = None,
    on_progress: OnProgress | None = None,
) -> VerifyReport:
    """Compare a store, field by field, with what an import of the same path would take in.

    Changes nothing, and can be repeated, also beside live traffic: a session whose activity is
    later in the store has moved on, and counts as no fault. Arguments as for ``import_file``.
    Fields that the gateway does not know are compared where the file has them. Lists the store
    once, one round trip a page and partition, and asks once more for each session not met there.

    Raises:
        InvalidInput: the path can't be read, or is none of these; the zone or the scope is unknown.

    """
    local = checked_zone(zone)
    run = _Comparison(gather(Path(path), scope), local, on_progress)
    for entry in store.list_sessions(on_damaged=run.meet_damaged):
        run.meet(entry)
    for key in run.not_met():
        try:
            run.settle(key, store.get_session(key))
        except (CorruptEntry, InvalidInput) as error:
            run.fail(key, error)
    return run.report()


async def verify_file_async(
    store: AsyncSessionStore,
    path: str | PathLike[str],
    *,
    zone: ZoneInfo | str,
    scope: str | None = None,
    on_progress: OnProgress | None = None,
) -> VerifyReport:
    """Do what ``verify_file`` does, for asyncio; the path is read in a thread."""
    local = checked_zone(zone)
    material = await asyncio.to_thread(gather, Path(path), scope)
    run = _Comparison(material, local, on_progress)
    async for entry in store.list_sessions(on_damaged=run.meet_damaged):
        run.meet(entry)
    for key in run.not_met():
        try:
            run.settle(key, await store.get_session(key))
        except (CorruptEntry, InvalidInput) as error:
            run.fail(key, error)
    return run.report()


class _Comparison:
    """One comparison on its way: which sessions are still to come, and what the others came to."""

    def __init__(self, material: Material, zone: ZoneInfo, on_progress: OnProgress | None) -> None:
        self._material = material
        self._reader = RowReader(zone)
        self._on_progress = on_progress
        self._left = dict.fromkeys(map(SessionKey, material))
        self._only_in_store: set[str] = set()
        self._equal = 0
        self._moved_on: list[Difference] = []
        self._differing: list[Difference] = []
        self._missing: list[str] = []
        self._bad = list(material.bad)
        self._passed_over: list[BadRow] = []

    def meet(self, stored: SessionEntry) -> None:
        """Compare a session of the store, unless an earlier page of the list had it."""
        if stored.session_key in self._left:
            self.settle(stored.session_key, stored)
        elif stored.session_key not in self._material:
            self._only_in_store.add(stored.session_key)

    def meet_damaged(self, damaged: CorruptEntry) -> None:
        """Pass over what the list can't read: if the file has it, it is asked for by its key."""

    def not_met(self) -> Iterator[SessionKey]:
        """Yield the sessions that the list did not have."""
        yield from list(self._left)

    def settle(self, key: SessionKey, stored: SessionEntry | None) -> None:
        """Compare the rows of a session key with what the store has for it."""
        reading = self._material.read(key, self._reader)
        self._bad += reading.bad
        self._passed_over += reading.passed_over
        if reading.entry is None:
            if stored is not None:
                self._only_in_store.add(key)
        elif stored is None:
            self._missing.append(printable(key))
        else:
            self._compare(reading.entry, stored)
        self._advance(key)

    def fail(self, key: SessionKey, error: CorruptEntry | InvalidInput) -> None:
        """Note a session that can't be asked for, or that is damaged in the store."""
        self._bad.append(BadRow(printable(key), printable(f"store: {error}")))
        self._advance(key)

    def report(self) -> VerifyReport:
        return VerifyReport(
            equal=self._equal,
            moved_on=tuple(self._moved_on),
            differing=tuple(self._differing),
            missing=tuple(self._missing),
            bad=tuple(self._bad),
            passed_over=tuple(self._passed_over),
            only_in_store=len(self._only_in_store),
            total=len(self._material),
        )

    def _compare(self, row: SessionEntry, stored: SessionEntry) -> None:
        try:
            fields = tuple(_differences(_as_stored(row), stored))
        except InvalidInput as error:
            self._bad.append(BadRow(row.session_key, str(error)))
            return
        difference = Difference(row.session_key, _newer(row, stored), fields)
        if not fields:
            self._equal += 1
        elif difference.newer == "store":
            self._moved_on.append(difference)
        else:
            self._differing.append(difference)

    def _advance(self, key: SessionKey) -> None:
        del self._left[key]
        total = len(self._material)
        done = total - len(self._left)
        if self._on_progress and (done % _ROWS_A_REPORT == 0 or done == total):
            self._on_progress(done, total)


def _as_stored(entry: SessionEntry) -> SessionEntry:
    """Return an entry as it comes back from a store: money in whole nano-dollars."""
    pairs = [*encode_entry(entry).items(), ("version", str(entry.version))]
    flat = [part.encode() for part in flatten(pairs)]
    return decode_entry(entry.session_key, entry.session_key, flat)


def _newer(row: SessionEntry, stored: SessionEntry) -> Literal["file", "store"] | None:
    if row.updated_at == stored.updated_at:
        return None
    return "file" if row.updated_at > stored.updated_at else "store"


def _differences(row: SessionEntry, stored: SessionEntry) -> Iterator[FieldDifference]:
    expected, found = _flat(row), _flat(stored)
    for name in expected | found:
        of_file, of_store = expected.get(name), found.get(name)
        if of_file != of_store and (of_file or name not in OF_OURS):
            yield FieldDifference(name, of_file, of_store)


def _flat(entry: SessionEntry) -> dict[str, object]:
    """Return the fields of an entry and of its parts side by side, without its version."""
    flat = entry.model_dump(exclude={"version", *_PARTS})
    for part in _PARTS:
        if (value := getattr(entry, part)) is not None:
            flat |= {f"{part}.{name}": it for name, it in value.model_dump().items()}
    return flat
