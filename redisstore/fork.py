"""What does not outlive a fork, and is had afresh in the child."""

from __future__ import annotations

import os
import sys
from weakref import WeakSet


class FreshAfterFork:
    """Something with threads, locks or connections, which are of use to one process only.

    A forked child has none of its parent's threads, may have inherited locks that nobody there will
    unlock, and must not write to its parent's connections. So ``_start_afresh`` is called when this
    is made, and again in the child before anything else runs there.
    """

    def __init__(self) -> None:
        self._start_afresh()
        _all.add(self)

    def _start_afresh(self) -> None:
        """Set what belongs to the process."""
        raise NotImplementedError


class Origin:
    """The process that something was made in, and that alone goes on with it after a fork."""

    def __init__(self) -> None:
        self._generation = _generation

    @property
    def is_here(self) -> bool:
        """Whether this is that process, and not a child of it that was forked since."""
        return self._generation == _generation


_all: WeakSet[FreshAfterFork] = WeakSet()
_generation = 0
"""How many forks led to this process; those between a child and its parent are told by it."""


def _start_all_afresh() -> None:
    global _generation  # noqa: PLW0603 - a process has one
    _generation += 1
    for each in tuple(_all):
        each._start_afresh()  # noqa: SLF001 - this module's own


if sys.platform != "win32":  # where nothing forks
    os.register_at_fork(after_in_child=_start_all_afresh)
