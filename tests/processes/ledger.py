"""Numbers of a process that outlive it: a mapped file, so that SIGKILL loses none of them."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

__all__ = ["Ledger"]

_NUMBER = struct.Struct("=Q")


class Ledger:
    """A row of counters for each process, in one file that all of them map.

    Only the owner of a row writes it, so no two processes ever add to one number.
    """

    def __init__(self, path: Path, *, rows: int, columns: int) -> None:
        self.path, self.rows, self.columns = path, rows, columns
        if not path.exists():
            path.write_bytes(bytes(_NUMBER.size * rows * columns))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def add(self, row: int, column: int, amount: int = 1) -> None:
        """Add to a counter; seen by the other processes at once."""
        _NUMBER.pack_into(self._map, self._at(row, column), self.read(row, column) + amount)

    def read(self, row: int, column: int) -> int:
        """Read a counter of any process."""
        (number,) = _NUMBER.unpack_from(self._map, self._at(row, column))
        return int(number)

    def total(self, column: int) -> int:
        """Add up one counter of all processes."""
        return sum(self.read(row, column) for row in range(self.rows))

    def _at(self, row: int, column: int) -> int:
        return _NUMBER.size * (row * self.columns + column)
