"""Bars in SVG, written out: the same text for the same numbers, whatever is installed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from benchmarks.cells import number

_WIDTH, _LEFT, _RIGHT = 860, 330, 150
_BAR, _GAP, _TOP = 13, 11, 64
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#666666")
"""Told apart by people who see fewer colours, and on paper."""


class Bar(NamedTuple):
    """One value with its spread, and which of the series it belongs to."""

    series: str
    value: float
    low: float
    high: float


class Group(NamedTuple):
    """The bars under one label."""

    label: str
    bars: Sequence[Bar]


def chart(title: str, unit: str, groups: Sequence[Group], *, logarithmic: bool = False) -> str:
    """Return a chart of horizontal bars; the thin line across the end of a bar is the spread."""
    series = list(dict.fromkeys(bar.series for group in groups for bar in group.bars))
    scale = _Scale([bar for group in groups for bar in group.bars], logarithmic=logarithmic)
    lines, top = [], _TOP
    for group in groups:
        height = _BAR * len(group.bars)
        lines.append(_text(_LEFT - 8, top + height / 2 + 4, group.label, anchor="end"))
        for bar in group.bars:
            lines += _bar(bar, top, scale, _COLOURS[series.index(bar.series) % len(_COLOURS)])
            top += _BAR
        top += _GAP
    note = f"{unit}, median and spread" + (", logarithmic" if logarithmic else "")
    size = f'width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{top}" fill="#ffffff"/>',
        _text(16, 22, title, size=15),
        _text(16, 42, note, colour="#555555"),
        *_legend(series),
    ]
    return "\n".join([*head, *lines, "</svg>"]) + "\n"


class _Scale:
    """Where a value is, from left to right."""

    def __init__(self, bars: Sequence[Bar], *, logarithmic: bool) -> None:
        self._logarithmic = logarithmic
        self._largest = max(bar.high for bar in bars) or 1.0
        self._smallest = min(bar.low for bar in bars) / 2 if logarithmic else 0.0

    def __call__(self, value: float) -> float:
        share = value / self._largest
        if self._logarithmic:
            share = math.log(value / self._smallest) / math.log(self._largest / self._smallest)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _bar(bar: Bar, top: float, scale: _Scale, colour: str) -> Iterator[str]:
    middle = top + _BAR / 2
    low, end, high = scale(bar.low), scale(bar.value), scale(bar.high)
    yield (
        f'<rect x="{_LEFT}" y="{top + 1:.1f}" width="{end - _LEFT:.1f}" height="{_BAR - 2}"'
        f' fill="{colour}"/>'
    )
    yield (
        f'<line x1="{low:.1f}" y1="{middle:.1f}" x2="{high:.1f}" y2="{middle:.1f}"'
        ' stroke="#000000" stroke-width="1"/>'
    )
    yield _text(max(end, high) + 5, middle + 4, number(bar.value), size=11)


def _legend(series: Sequence[str]) -> Iterator[str]:
    left = float(_LEFT)
    for name, colour in zip(series, _COLOURS, strict=False):
        if name:
            yield f'<rect x="{left:.1f}" y="33" width="11" height="11" fill="{colour}"/>'
            yield _text(left + 16, 43, name)
            left += 36 + 7 * len(name)


def _text(
    left: float, base: float, text: str, *, size: int = 12, anchor: str = "start", colour: str = ""
) -> str:
    fill = f' fill="{colour}"' if colour else ""
    return (
        f'<text x="{left:.1f}" y="{base:.1f}" font-size="{size}" text-anchor="{anchor}"{fill}>'
        f"{escape(text)}</text>"
    )
