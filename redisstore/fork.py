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


generation = 0
"""How many forks have led to this process.

What notes it when it begins can tell later whether a child has inherited it, which is to leave it
to the parent. To be read as ``fork.generation``: it changes.
"""
_all: WeakSet[FreshAfterFork] = WeakSet()


def _start_all_afresh() -> None:
    global generation  # noqa: PLW0603 - a process has one
    generation += 1
    for each in tuple(_all):
        each._start_afresh()  # noqa: SLF001 - this module's own


if sys.platform != "win32":  # where nothing forks
    os.register_at_fork(after_in_child=_start_all_afresh)
