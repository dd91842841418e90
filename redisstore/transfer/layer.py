"""Rows by session key, from one place: a file, or a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias


class Row(NamedTuple):
    """One row as it stands: where, and what gives its JSON value (else ``ValueError``)."""

    where: str
    value: Callable[[], object]


Layer: TypeAlias = dict[str, list[Row]]
"""Of each session key, all its rows: in several scopes, or standing twice in a file."""
