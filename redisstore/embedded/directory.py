"""The directory of an embedded server: private to its owner, and reachable by a short path."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from redisstore.errors import InvalidInput

SOCKET = "server.sock"
STARTER_LOCK = "lock"
"""Locked by the process that starts or stops the server."""
LIFE_LOCK = "server.lock"
"""Locked by the server as long as it lives."""

LONGEST_SOCKET_PATH = 103
"""Bytes: ``sun_path`` holds 104 on macOS and 108 on Linux, the final NUL included."""


def default_directory() -> Path:
    """Return where ``embedded:`` keeps its data.

    That is ``$XDG_DATA_HOME/redisstore``, or ``~/.local/share/redisstore`` when the variable is
    unset or not an absolute path.
    """
    configured = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification: a relative path there is to be ignored.
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".local" / "share"
    return base / "redisstore"


def claim(directory: Path) -> None:
    """Make the directory, if it is missing, and make it private to its owner (mode 0700).

    An existing one is made private when it is empty or a server's already; any other that
    strangers may enter is refused, since it is likely shared on purpose.

    Raises:
        InvalidInput: it is no directory, somebody else's, or open to others and in use.
        OSError: it can't be made or read.

    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        if not directory.is_dir():
            raise InvalidInput("url", f"{directory} is not a directory") from None
    state = directory.stat()
    if state.st_uid != os.geteuid():
        raise InvalidInput("url", f"{directory} belongs to another user (uid {state.st_uid})")
    if not stat.S_IMODE(state.st_mode) & 0o077:
        return
    names = os.listdir(directory)  # noqa: PTH208 - the names alone
    if names and STARTER_LOCK not in names:
        raise InvalidInput(
            "url",
            f"{directory} holds other files and is open to other users; name a directory "
            f"of its own, or make this one private: chmod 700 {directory}",
        )
    directory.chmod(0o700)


def short_socket_path(directory: Path) -> Path:
    """Return a path to the directory's socket that fits into a socket address; makes nothing.

    The socket is always in the directory. When its path is too long it is reached through a
    symbolic link of this user's, which `link_short_path` makes; two processes whose links differ
    (another container, a cleaned ``/tmp``) still meet at the same socket.
    """
    plain = directory / SOCKET
    if len(os.fsencode(plain)) <= LONGEST_SOCKET_PATH:
        return plain
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return _links() / name / SOCKET


def link_short_path(directory: Path) -> None:
    """Make the link that `short_socket_path` goes through, if it does and it is missing.

    Raises:
        InvalidInput: the directory of the links is not private to this user.
        OSError: the link can't be made.

    """
    link = short_socket_path(directory).parent
    if link == directory or (link.is_symlink() and link.readlink() == directory):
        return
    _claim_links(link.parent)
    # Renamed into place, so that another process never finds the link missing or half made.
    fresh = link.with_name(f"{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(directory)
    fresh.replace(link)


def _links() -> Path:
    # Not tempfile.gettempdir(): $TMPDIR may itself be too long, on macOS it nearly is.
    return Path("/tmp") / f"redisstore-{os.geteuid()}"  # noqa: S108 - _claim_links checks the owner


def _claim_links(links: Path) -> None:
    links.mkdir(mode=0o700, exist_ok=True)
    state = links.lstat()
    private = stat.S_ISDIR(state.st_mode) and not stat.S_IMODE(state.st_mode) & 0o077
    if not private or state.st_uid != os.geteuid():
        raise InvalidInput(
            "url",
            f"{links}, needed because the path of the embedded directory is long, is not a "
            "private directory of this user; remove it, or name a shorter directory",
        )
