"""What a command says, and where: results to stdout, everything else to stderr.

Names come from strangers. Whatever is printed for people goes through ``escaped``, and reaches rich
as ``Text``, so that it is neither a terminal's escape sequence nor markup.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeAlias

from pydantic_core import to_jsonable_python
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

Advance: TypeAlias = Callable[[int, int | None], None]
"""Tells a progress bar how much is done, and of how much (``None``: unknown)."""

_UNSAFE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What JSON leaves as it is, and a terminal or a reader of lines takes for more than a letter."""
_UNBOUNDED = 100_000
"""Columns of a table that goes to a file or a pipe: nothing is folded there."""


def escaped(text: str) -> str:
    r"""Return text for one line of a terminal: what is not printable becomes ``\n``, ``\x1b`` ...

    A backslash stays as it is; ``--json`` gives text exactly.
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )


def moment(when: datetime | None) -> str:
    """Return a time for people, in UTC and to the second; ``-`` for none."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if when else "-"


class Output:
    """Speaks for one run of a command, to people or to scripts."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.failed = False
        """Whether anything was refused or found faulty: the exit status is 1 then."""
        self._out = Console(markup=False, highlight=False, emoji=False)
        if not self._out.is_terminal:
            self._out.width = _UNBOUNDED
        self._err = Console(stderr=True, markup=False, highlight=False, emoji=False)

    def record(self, result: object) -> None:
        """Print one result for scripts: a JSON document on a line of its own.

        Names stand there as they are written, for ``grep``; where stdout has no such letters, and
        for control characters and the like, as JSON's escapes.
        """
        plain = to_jsonable_python(result, fallback=dict)  # for read-only mappings
        line = json.dumps(plain, ensure_ascii=False)
        try:
            line.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            line = json.dumps(plain)
        print(_UNSAFE.sub(lambda one: f"\\u{ord(one[0]):04x}", line), file=sys.stdout)

    def say(self, text: str, style: str = "") -> None:
        """Print one line for people; nothing for scripts."""
        if not self.as_json:
            self._out.print(Text(escaped(text), style), soft_wrap=True)

    def heading(self, text: str) -> None:
        """Print a heading for people, set off from what is above."""
        if not self.as_json:
            self._out.print()
            self._out.print(Text(text, "bold"))

    def complain(self, text: str) -> None:
        """Print one line to stderr; the command goes on, and ends with status 1."""
        self.failed = True
        self._err.print(
            Text("redisstore: ", "bold red").append(Text(escaped(text), "not bold default")),
            soft_wrap=True,
        )

    def table(self, columns: Mapping[str, bool], rows: Iterable[Sequence[str]]) -> None:
        """Print a table for people; ``columns`` says which may be folded on a narrow terminal."""
        ruled = SIMPLE_HEAD if self._out.is_terminal else None
        table = Table(header_style="bold", box=ruled, pad_edge=False)
        for column, foldable in columns.items():
            table.add_column(column, overflow="fold", no_wrap=not foldable)
        for row in rows:
            table.add_row(*(Text(escaped(cell)) for cell in row))
        self._out.print(table)

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Print names and values for people, one pair a line."""
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in pairs:
            table.add_row(Text(name), Text(escaped(value)))
        self._out.print(table)

    @contextmanager
    def progress(self, label: str) -> Iterator[Advance]:
        """Show a bar on stderr while a ``with`` block runs; on a terminal, and for people only."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
        )
        silent = self.as_json or not self._err.is_terminal
        with Progress(*columns, console=self._err, transient=True, disable=silent) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
