"""Nothing outlives the test run: a small process that outlives it just long enough to clean up.

A context manager cleans up after an exception and after Ctrl-C, but not after a SIGKILL of
pytest (the out-of-memory killer, a CI timeout, a crashed xdist worker).  Hence a guardian: one
helper process per test process, started with the first server, in a session of its own.  It
reads from a pipe what is to be guarded - process ids and directories - and when the pipe ends,
because the test process exited in whatever way, it kills those processes and removes those
directories.  Leaving normally takes the same road: an exit hook closes the pipe.

This was preferred to `PR_SET_PDEATHSIG`, which needs Linux and a hook between fork and exec,
fires already when the *thread* that started the server ends, and cannot remove a directory.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["guard", "release"]

_lock = threading.Lock()
_guardians: dict[int, subprocess.Popen[str]] = {}


def guard(item: int | Path) -> None:
    """Have the process id killed, or the directory removed, when this process is gone."""
    _tell(f"+{item}")


def release(item: int | Path) -> None:
    """Forget what `guard` was told: it has been cleaned up."""
    _tell(f"-{item}")


def _tell(line: str) -> None:
    with _lock:
        pipe = _guardian().stdin
        if pipe is not None:
            pipe.write(f"{line}\n")
            pipe.flush()


def _guardian() -> subprocess.Popen[str]:
    """The guardian of this process; a forked child does not share its parent's."""
    owner = os.getpid()
    if owner not in _guardians:
        _guardians[owner] = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        atexit.register(_dismiss, owner)
    return _guardians[owner]


def _dismiss(owner: int) -> None:
    if owner != os.getpid():
        return
    guardian = _guardians.pop(owner)
    if guardian.stdin is not None:
        guardian.stdin.close()
    guardian.wait(timeout=10)


def _watch() -> None:
    """The guardian's own life: listen until the pipe ends, then clean up what is left."""
    guarded: set[str] = set()
    for line in sys.stdin:
        sign, item = line[0], line[1:].rstrip("\n")
        if sign == "+":
            guarded.add(item)
        else:
            guarded.discard(item)
    for item in guarded:
        if item.isdigit():
            with suppress(ProcessLookupError):
                os.kill(int(item), signal.SIGKILL)
    for item in guarded:
        if not item.isdigit():
            _remove(Path(item))


def _remove(directory: Path) -> None:
    """Remove a directory in which a dying server may still be writing."""
    for _ in range(40):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.05)


if __name__ == "__main__":
    _watch()
