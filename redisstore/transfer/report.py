"""What an import or an export says when it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

OnProgress: TypeAlias = Callable[[int, int], None]
"""Told how many rows are done, and of how many; the last call has all of them."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out: its session key, and what is wrong, the field's name first."""

    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of ``total`` rows: each is created, updated, kept or bad.

    ``kept`` counts rows that changed nothing, because the store has them as new or newer.
    ``not_carried_over`` has, by name, fields that redisstore has no place for, and in how many
    rows they had a value.
    """

    created: int
    updated: int
    kept: int
    bad: tuple[BadRow, ...]
    not_carried_over: Mapping[str, int]
    total: int


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
