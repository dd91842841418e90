"""Free loopback ports which two test processes never pick at once.

Asking the kernel for port 0 is not enough.  Between the probe and the server's own bind another
pytest-xdist worker may take the port; and such a port lies in the ephemeral range, where a
client reconnecting to a *stopped* server can by chance connect to itself.  So ports come from
below that range and are leased: a byte-range lock, at the port's offset in one file all runs
share, is held until the port is given back or the process dies.  A stranger's server is found
by a trial bind, and the little that remains by the start itself, which is tried again.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import threading
from pathlib import Path

__all__ = ["HOST", "lease_port", "return_port"]

HOST = "127.0.0.1"

_RANGE = range(20_000, 32_000)
_lock = threading.Lock()
_leased: set[int] = set()
_ledgers: dict[int, int] = {}


def lease_port() -> int:
    """A port nobody listens on, which no other test process will be given meanwhile."""
    with _lock:
        for port in random.sample(_RANGE, len(_RANGE)):
            if port not in _leased and _lock_byte(port):
                if _bindable(port):
                    _leased.add(port)
                    return port
                fcntl.lockf(_ledger(), fcntl.LOCK_UN, 1, port)
    raise RuntimeError(f"no free port on {HOST} in {_RANGE}")


def return_port(port: int) -> None:
    """Give a leased port back."""
    with _lock:
        _leased.discard(port)
        fcntl.lockf(_ledger(), fcntl.LOCK_UN, 1, port)


def _ledger() -> int:
    """The shared file's descriptor, open for the life of the process: closing it would unlock."""
    process = os.getpid()
    if process not in _ledgers:
        path = Path(tempfile.gettempdir()) / f"test-server-ports-{os.getuid()}.lock"
        _ledgers[process] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return _ledgers[process]


def _lock_byte(port: int) -> bool:
    try:
        fcntl.lockf(_ledger(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
