"""How large an entry may be, and how a long text is stored: in pieces.

Redis stores a small hash compactly while no value is longer than 64 bytes; one longer value makes
it three times as large. So a text goes on in ``<field> 2``, ``<field> 3`` ... every 64 bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from redisstore.errors import EntryTooLarge

_LONGEST_PIECE = 64
_PIECE_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


def check_size(fields: Mapping[str, str], max_bytes: int) -> None:
    """Refuse a set of fields whose names and values together are over the limit."""
    if 4 * sum(map(len, (*fields, *fields.values()))) <= max_bytes:
        return  # UTF-8 has at most 4 bytes a character
    sizes: Counter[str] = Counter()
    for name, value in fields.items():
        sizes[name.partition(" ")[0]] += len(name) + len(value.encode())
    if (total := sizes.total()) > max_bytes:
        ((largest, size),) = sizes.most_common(1)
        raise EntryTooLarge(
            largest, f"takes {size} of {total} bytes, an entry may have {max_bytes}"
        )


def in_pieces(fields: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield fields, each long text as several."""
    for field, text in fields:
        if 4 * len(text) <= _LONGEST_PIECE:
            yield field, text
            continue
        raw, at, number = text.encode(), 0, 1
        while at < len(raw):
            # A character that is cut in two goes into the next piece.
            piece = raw[at : at + _LONGEST_PIECE].decode(errors="ignore")
            yield (field if number == 1 else f"{field} {number}"), piece
            at, number = at + len(piece.encode()), number + 1


def append_pieces(pieces: Iterable[tuple[bytes, str]], values: dict[str, Any]) -> None:
    """Put texts together again, of which ``values`` has the beginnings."""
    numbered: list[tuple[int, str, str]] = []
    for name, text in pieces:
        field, _, number = name.decode(errors="replace").rpartition(" ")
        if _PIECE_NUMBER.fullmatch(number) and isinstance(values.get(field), str):
            numbered.append((int(number), field, text))
    for _, field, text in sorted(numbered):
        values[field] += text
