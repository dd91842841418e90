"""What an import or an export says when it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

OnProgress: TypeAlias = Callable[[int, int], None]
"""Told how many rows are done, and of how many; the last call has all of them."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out: its session key, and what is wrong, the field's name first."""

    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of ``total`` rows: each is created, updated, kept, passed over or bad.

    ``kept`` counts rows that changed nothing, because the store has them as new or newer; of those
    that are as new, ``amended`` were put right, as was asked for.
    ``passed_over`` has the good rows that are not taken: another row of the same session key was
    active later, or the gateway's database says that the conversation has ended.
    ``not_carried_over`` has, by name, fields that redisstore has no place for or that can't be
    read, and in how many rows they had a value. ``scopes`` says how many rows each scope of a
    database had.
    """

    created: int
    updated: int
    kept: int
    amended: int
    bad: tuple[BadRow, ...]
    passed_over: tuple[BadRow, ...]
    not_carried_over: Mapping[str, int]
    scopes: Mapping[str, int]
    total: int


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field that the file and the store have different; ``origin.chat_name`` is the origin's."""

    name: str
    file: object
    store: object


@dataclass(frozen=True, slots=True)
class Difference:
    """A session that is not the same in the file and in the store, and which of them is newer.

    The newer one is the one with the later activity; ``None``: both say the same time.
    """

    key: str
    newer: Literal["file", "store"] | None
    fields: tuple[FieldDifference, ...]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """How a store compares with a file; ``agrees`` says whether nothing but new activity differs.

    Of ``total`` sessions of the file each is equal, newer in the store (``moved_on``), different
    for another reason (``differing``), ``missing`` in the store, or bad: it can't be compared.
    ``passed_over`` is as in an import, and ``only_in_store`` counts what the file does not have.
    """

    equal: int
    moved_on: tuple[Difference, ...]
    differing: tuple[Difference, ...]
    missing: tuple[str, ...]
    bad: tuple[BadRow, ...]
    passed_over: tuple[BadRow, ...]
    only_in_store: int
    total: int

    @property
    def agrees(self) -> bool:
        """Whether all sessions are in the store, as in the file or with later activity."""
        return not (self.differing or self.missing or self.bad)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written; ``int(report)`` is the number of rows.

    ``left_out`` has the sessions that can't be written, damaged ones above all. ``inexact`` says
    what the file can't express or the gateway won't take, and in how many rows.
    """

    written: int
    left_out: tuple[BadRow, ...]
    inexact: Mapping[str, int]

    def __int__(self) -> int:
        return self.written


def printable(text: str) -> str:
    """Return a text from a file so that it can be shown: lone surrogates escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
