"""From a store into ``sessions.json``, or into a scope of a ``state.db``.

A list that runs newest first misses what is touched before its turn, for that has moved to the
front. So the export looks again until it finds nothing new; each session is written once.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from redisstore.aio.store import AsyncSessionStore
from redisstore.calls.handled import Handled
from redisstore.entry import SessionEntry
from redisstore.errors import CorruptEntry, InvalidInput
from redisstore.sync.store import SessionStore
from redisstore.transfer.report import BadRow, ExportReport, OnProgress, printable
from redisstore.transfer.routing import is_database
from redisstore.transfer.scope_target import replacing_scope
from redisstore.transfer.target import Target, replacing_rows
from redisstore.transfer.times import checked_zone
from redisstore.transfer.writing import inexact, to_row

_ROWS_A_REPORT = 100
_MOST_LOOKS = 5
"""Enough for a busy store, in which each look finds some sessions that were made meanwhile."""


def export_file(
    store: SessionStore,
    path: str | PathLike[str],
    *,
    zone: ZoneInfo | str,
    scope: str | None = None,
    on_progress: OnProgress | None = None,
) -> ExportReport:
    """Write a store as the gateway reads it, newest first.

    Without ``scope``, ``path`` is a ``sessions.json``, which is replaced as a whole, with mode
    0600, or left as it was; one row a line. hermes-agent 0.19 takes from it only sessions that its
    ``state.db`` lacks. With ``scope``, the sessions directory of a gateway, ``path`` is a
    ``state.db``, there already or not. Its table ``gateway_routing`` gets the rows of that scope in
    place of those that are there, in one transaction; nothing else in it is touched.
    ``zone``: the time zone of the gateway that will read it. Each row is its session at one
    moment; for one moment of all of them, drain the gateways first. It has the messages that the
    session has handled. Damaged sessions are left out and reported. Lists the store at least
    twice, as ``export_sessions`` does. An import gives equal sessions that know the same messages,
    but for what the report calls inexact.

    Raises:
        InvalidInput: the path can't be written; a database without a scope, or a scope without a
            database; another process has the database open; the zone is unknown.

    """
    local = checked_zone(zone)
    with _target(Path(path), scope) as target:
        run = _Export(target, local, store.count_sessions(), on_progress)
        while run.looks_again():
            for entry, handled in store.export_sessions(on_damaged=run.leave_out):
                run.write(entry, handled)
        run.finish()
    return run.report()


async def export_file_async(
    store: AsyncSessionStore,
    path: str | PathLike[str],
    *,
    zone: ZoneInfo | str,
    scope: str | None = None,
    on_progress: OnProgress | None = None,
) -> ExportReport:
    """Do what ``export_file`` does, for asyncio; writing to the disk is not awaited."""
    local = checked_zone(zone)
    with _target(Path(path), scope) as target:
        run = _Export(target, local, await store.count_sessions(), on_progress)
        while run.looks_again():
            async for entry, handled in store.export_sessions(on_damaged=run.leave_out):
                run.write(entry, handled)
        run.finish()
    return run.report()


def _target(path: Path, scope: str | None) -> AbstractContextManager[Target]:
    if scope is not None:
        return replacing_scope(path, scope)
    if is_database(path):
        raise InvalidInput(
            "scope",
            f"{path} is a database, and needs the sessions directory of its gateway, like"
            " /home/me/.hermes/sessions",
        )
    return replacing_rows(path)


class _Export:
    """One export on its way: what is written already, and what was left out."""

    def __init__(
        self, target: Target, zone: ZoneInfo, expected: int, on_progress: OnProgress | None
    ) -> None:
        self._target = target
        self._zone = zone
        self._expected = expected
        self._on_progress = on_progress
        self._seen: set[str] = set()
        self._seen_before = -1
        self._looks = 0
        self._written = 0
        self._left_out: list[BadRow] = []
        self._inexact: Counter[str] = Counter()

    def looks_again(self) -> bool:
        """Say whether the store has to be listed once more."""
        found, self._seen_before = len(self._seen) - self._seen_before, len(self._seen)
        self._looks += 1
        return found > 0 and self._looks <= _MOST_LOOKS

    def write(self, entry: SessionEntry, handled: Handled) -> None:
        """Write an entry, unless an earlier look has found it."""
        if not self._is_new(entry.session_key):
            return
        try:
            row = to_row(entry, handled, self._zone)
        except OverflowError as error:
            self._left_out.append(BadRow(entry.session_key, f"a time has no local form: {error}"))
            return
        self._inexact.update(inexact(entry, row, self._zone))
        self._target(entry.session_key, json.dumps(row, ensure_ascii=False))
        self._written += 1
        if self._on_progress and self._written % _ROWS_A_REPORT == 0:
            self._on_progress(self._written, max(self._written, self._expected))

    def leave_out(self, damaged: CorruptEntry) -> None:
        """Note an entry, or a session's handled messages, that can't be read, by its Redis key."""
        if self._is_new(damaged.key):
            self._left_out.append(BadRow(printable(damaged.key), printable(damaged.problem)))

    def finish(self) -> None:
        """Tell that all is written."""
        if self._on_progress:
            self._on_progress(self._written, self._written)

    def report(self) -> ExportReport:
        return ExportReport(
            written=self._written,
            left_out=tuple(self._left_out),
            inexact=MappingProxyType(dict(self._inexact)),
        )

    def _is_new(self, key: str) -> bool:
        known = len(self._seen)
        self._seen.add(key)
        return len(self._seen) > known
