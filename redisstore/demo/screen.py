"""What the audience sees: steps with their outcome, a live view of the traffic, the verdict."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from redisstore.demo.proof import Check

_FRAMES_A_SECOND = 8
_SECONDS_A_LINE = 1.0
"""How often a line tells of the traffic where there is no terminal."""
_LABEL_WIDTH = 10
_EVENTS_KEPT = 9
_PROBLEMS_SHOWN = 10
_BELOW_ITS_CLAIM = (0, 0, 0, 2)
_PIPE_WIDTH = 200
_ROOMY = 100


class Screen:
    """Speaks to a terminal, or line by line to whatever else stdout is."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, emoji=False, markup=False)
        if not self.is_terminal:
            self._console.width = max(self._console.width, _PIPE_WIDTH)
        self._ascii = self._console.options.ascii_only
        self._began = time.monotonic()
        self.events: deque[tuple[float, Text]] = deque(maxlen=_EVENTS_KEPT)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches."""
        return self._console.is_terminal

    @property
    def indent(self) -> int:
        """How far what stands below a label is set in; not at all where there is no room."""
        return _LABEL_WIDTH + 1 if self._console.width >= _ROOMY else 0

    def title(self, text: str, explanation: str) -> None:
        """Say what is to be seen."""
        self._console.print()
        self._console.print(Text(text, "bold"), Text(explanation, "dim"))
        self._console.print()

    def say(self, label: str, *sentences: str) -> None:
        """Tell the outcome of a step; the label stands beside its first sentence."""
        for number, sentence in enumerate(sentences):
            self._row(Text("" if number else label, "bold cyan"), Text(sentence))

    def event(self, text: str, style: str = "") -> None:
        """Note something that happens during the traffic."""
        at = time.monotonic() - self._began
        self.events.append((at, Text(text, style)))
        if not self.is_terminal:
            self._row(Text(""), Text(f"{at:5.1f} s  {text}"))

    def check(self, check: Check) -> None:
        """Show one part of the verdict; a failed one in red, with what is wrong."""
        good, bad = ("ok", "FAILED") if self._ascii else ("✓", "✗ FAILED")
        line = Text(good if check.holds else bad, "bold green" if check.holds else "bold red")
        line.append(f" {check.claim}", "" if check.holds else "bold red")
        self._row(Text(""), line)
        self._row(Text(""), Padding(Text(check.numbers, "dim"), _BELOW_ITS_CLAIM))
        problems = [printable(problem) for problem in check.problems[:_PROBLEMS_SHOWN]]
        if more := len(check.problems) - len(problems):
            problems.append(f"and {more:,} more")
        for problem in problems:
            self._row(Text(""), Padding(Text(problem, "red"), _BELOW_ITS_CLAIM))

    def verdict(self, failed: int, checks: int, seconds: float) -> None:
        """Say how it went as a whole."""
        if failed:
            text, style = f"{failed} of {checks} checks FAILED.", "bold red"
        else:
            text, style = f"All {checks} checks hold.", "bold green"
        self._console.print()
        self._console.print(Text(text, style), Text(f"({seconds:.0f} s)", "dim"))

    def commands(self, introduction: str, commands: Sequence[str]) -> None:
        """Show commands to copy, unbroken."""
        self._console.print()
        self._console.print(Text(introduction))
        for command in commands:
            self._console.print(Text(f"  {command}", "cyan"), soft_wrap=True)
        self._console.print()

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar for the length of a ``with`` block; give what tells it how far things are."""
        columns = (
            TextColumn(f"{label:<{_LABEL_WIDTH}}", style="bold cyan"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
        )
        with Progress(
            *columns, console=self._console, transient=True, disable=not self.is_terminal
        ) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    @contextmanager
    def live(
        self, picture: Callable[[], RenderableType], line: Callable[[], str]
    ) -> Iterator[Callable[[], None]]:
        """Show the traffic for the length of a ``with`` block; give what asks for a new look.

        ``picture`` is drawn on a terminal; elsewhere ``line`` is printed now and then.
        """
        if self.is_terminal:
            with Live(console=self._console, auto_refresh=False) as live:
                yield _paced(lambda: live.update(picture(), refresh=True), 1 / _FRAMES_A_SECOND)
                live.update(picture(), refresh=True)
        else:
            yield _paced(lambda: self._row(Text(""), Text(line())), _SECONDS_A_LINE)

    def happenings(self) -> Table:
        """Return the latest events, for a picture."""
        table = Table(box=None, show_header=False, padding=(0, 1))
        for at, text in self.events:
            table.add_row(Text(f"{at:5.1f} s", "dim"), text)
        return table

    def _row(self, label: Text, content: RenderableType) -> None:
        row = Table.grid(padding=(0, 1))
        row.add_column(width=_LABEL_WIDTH, no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(label, content)
        self._console.print(row)


def printable(text: str) -> str:
    """Return a stranger's text without what a terminal would act upon."""
    return "".join(one if one.isprintable() else " " for one in text)


def _paced(act: Callable[[], None], seconds: float) -> Callable[[], None]:
    """Return a function that acts at its first call, then only after so many seconds."""
    due = 0.0

    def act_if_due() -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due:
            due = now + seconds
            act()

    return act_if_due
