"""Numbers as people read them, and tables that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.results import Row


class Table(NamedTuple):
    """A table for the terminal and for a page; the first column has no name."""

    title: str
    text: str
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return it with its title and text."""
        head = [
            "| |" + "".join(f" {name} |" for name in self.columns),
            "|---|" + "---:|" * len(self.columns),
        ]
        body = ["| " + " | ".join(line) + " |" for line in self.lines]
        return "\n\n".join([f"### {self.title}", self.text, "\n".join([*head, *body])])


def cell(row: Row) -> str:
    """Return the median, with the smallest and the largest value."""
    low, high = row.spread
    middle = number(row.median)
    if low == high:
        return middle
    return f"{middle} ({number(low)} to {number(high)})"


def number(value: float) -> str:
    """Return three significant digits, and whole numbers in full."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
