"""Advisory locks on files (``flock``): who starts the server, and whether it lives.

A lock belongs to an open file, and every process that inherited it. The server inherits one when
it is started and never lets go, so the kernel itself says whether it lives: there is no process
id to be mistaken about, and nothing to clean up after ``kill -9``. A child that is forked meanwhile
inherits one too, and lets go of it at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redisstore.errors import StoreUnavailable
from redisstore.fork import FreshAfterFork

if sys.platform != "win32":  # where EmbeddedServer refuses before a lock is asked for
    import fcntl

_LOOK_AGAIN_SECONDS = 0.01


class _Files(FreshAfterFork):
    """The files that this process has open; a forked child closes its copies."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        super().__init__()

    def _start_afresh(self) -> None:
        while self._open:
            os.close(self._open.pop())

    def open(self, path: Path) -> int:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._open.add(descriptor)
        return descriptor

    def close(self, descriptor: int, *, unlock: bool) -> None:
        """Close a file if this process has opened it, and ``unlock`` it for all who have copies."""
        if descriptor not in self._open:
            return
        if unlock:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        self._open.remove(descriptor)
        os.close(descriptor)


_files = _Files()


@contextmanager
def locked(path: Path, deadline: float) -> Iterator[None]:
    """Hold the lock on a file, made if it is missing, for the length of a ``with`` block.

    Args:
        path: the file.
        deadline: when to give up, by ``time.monotonic()``.

    Raises:
        StoreUnavailable: another process held it until the deadline.
        OSError: the file can't be opened.

    """
    descriptor = _files.open(path)
    try:
        while not _take(descriptor):
            if time.monotonic() >= deadline:
                raise StoreUnavailable(f"another process has held {path} for too long")
            time.sleep(_LOOK_AGAIN_SECONDS)
        yield
    finally:
        # Closing alone would not do: a child that is just being forked has a copy for a moment.
        _files.close(descriptor, unlock=True)


@contextmanager
def locked_for_child(path: Path) -> Iterator[int | None]:
    """Lock a file and yield its descriptor, for a child process to inherit and keep locked.

    Yields ``None`` when the lock is held already. Afterwards only who inherited it has it.
    """
    descriptor = _files.open(path)
    try:
        yield descriptor if _take(descriptor) else None
    finally:
        _files.close(descriptor, unlock=False)


def is_locked(path: Path) -> bool:
    """Say whether some process holds the lock on a file; no if the file is missing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # Shared, so that several processes that look at once don't see one another.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
