"""The sessions of a file beside those of a store, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from redisstore.calls.handled import Handled
from redisstore.entry import SessionEntry
from redisstore.errors import CorruptEntry, InvalidInput
from redisstore.fields import decode_entry, encode_entry, flatten
from redisstore.keys import SessionKey
from redisstore.transfer.material import Material
from redisstore.transfer.reading import RowReader
from redisstore.transfer.report import (
    BadRow,
    Difference,
    FieldDifference,
    OnProgress,
    VerifyReport,
    printable,
)
from redisstore.transfer.writing import HANDLED, OF_OURS

_ROWS_A_REPORT = 100
_PARTS = ("origin", "model_override")


class Comparison:
    """One comparison on its way: which sessions are still to come, and what the others came to."""

    def __init__(
        self,
        material: Material,
        zone: ZoneInfo,
        on_progress: OnProgress | None = None,
        known_since: datetime | None = None,
    ) -> None:
        """Prepare it. Messages done after ``known_since`` are compared; ``None``: none are."""
        self._known_since = known_since
        self._material = material
        self._reader = RowReader(zone)
        self._on_progress = on_progress
        self._left = dict.fromkeys(map(SessionKey, material))
        self._only_in_store: set[str] = set()
        self._equal = 0
        self._moved_on: list[Difference] = []
        self._differing: list[Difference] = []
        self.alike: list[tuple[SessionEntry, SessionEntry, Difference]] = []
        """What differs with the same last activity: as the file has it, and as the store has it."""
        self._missing: list[str] = []
        self._bad = list(material.bad)
        self._passed_over: list[BadRow] = []

    def meet(self, stored: SessionEntry, handled: Handled | None = None) -> None:
        """Compare a session of the store, unless an earlier page of the list had it."""
        if stored.session_key in self._left:
            self.settle(stored.session_key, stored, handled)
        elif stored.session_key not in self._material:
            self._only_in_store.add(stored.session_key)

    def meet_damaged(self, damaged: CorruptEntry) -> None:
        """Pass over what the list can't read: if the file has it, it is asked for by its key."""

    def not_met(self) -> Iterator[SessionKey]:
        """Yield the sessions that the list did not have."""
        yield from list(self._left)

    def settle(
        self, key: SessionKey, stored: SessionEntry | None, handled: Handled | None = None
    ) -> None:
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
            lost = tuple(self._lost(reading.handled, handled or {}))
            self._compare(reading.entry, stored, lost)
        self._advance(key)

    def fail(self, key: SessionKey, error: CorruptEntry | InvalidInput) -> None:
        """Note a session that can't be asked for, or that is damaged in the store."""
        self._bad.append(BadRow(printable(key), printable(f"store: {error}")))
        self._advance(key)

    def report(self) -> VerifyReport:
        """Return what came of it."""
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

    def _lost(self, of_file: Handled, of_store: Handled) -> Iterator[FieldDifference]:
        """Yield what the store would not know long enough of the messages that the file has."""
        for message_id, done_at in of_file.items():
            known = of_store.get(message_id)
            if self._known_since and done_at > self._known_since and (not known or known < done_at):
                yield FieldDifference(f"{HANDLED}.{message_id}", done_at, known)

    def _compare(
        self, row: SessionEntry, stored: SessionEntry, lost: Sequence[FieldDifference]
    ) -> None:
        try:
            row = _as_stored(row)
        except InvalidInput as error:
            self._bad.append(BadRow(row.session_key, str(error)))
            return
        fields = (*_differences(row, stored), *lost)
        difference = Difference(row.session_key, _newer(row, stored), fields)
        if not fields:
            self._equal += 1
        elif difference.newer == "store" and not lost:
            self._moved_on.append(difference)
        else:
            self._differing.append(difference)
            if difference.newer is None:
                self.alike.append((row, stored, difference))

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
