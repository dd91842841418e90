"""The server of a directory: started by whoever needs it first, shared, ended by nobody's death."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from redisstore.embedded.binary import find_binary
from redisstore.embedded.directory import (
    LIFE_LOCK,
    SOCKET,
    STARTER_LOCK,
    claim,
    link_short_path,
    short_socket_path,
)
from redisstore.embedded.filelock import is_locked, locked, locked_for_child
from redisstore.errors import InvalidInput, StoreUnavailable

APPENDFSYNC = ("no", "everysec", "always")
"""When the append-only file is synced to the disk, by growing safety."""

_LOG = "server.log"
_PID = "server.pid"
_LOG_BYTES = 4 * 1024 * 1024
_LOG_BYTES_KEPT = 64 * 1024
_LOG_TAIL_LINES = 15
_PROBE_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 0.01

# All names are relative to the directory, where the server runs: nothing of the user's path gets
# into this text, and the socket's own address stays short. `daemonize` puts the server into a
# session of its own, away from the terminal and from the process that started it.
_CONFIGURATION = f"""\
daemonize yes
port 0
unixsocket {SOCKET}
unixsocketperm 700
pidfile {_PID}
logfile {_LOG}
save ""
appendonly yes
appendfsync %s
maxmemory-policy noeviction
"""


class EmbeddedServer:
    """The one server of a directory. Making this object starts nothing and touches no file.

    All processes (of one user, on one machine) that name the same directory share its server,
    by whatever path they name it. It outlives them all, until `stop` or the machine's shutdown.

    Args:
        directory: where the data, the log and the socket are; made, with mode 0700, at the start.
        appendfsync: ``always`` (no acknowledged write is lost in a crash), ``everysec`` or
            ``no``. ``None``: ``always`` if this object starts the server, and as it is if the
            server runs. A running server is made stricter when asked for it, never laxer.

    Raises:
        InvalidInput: ``appendfsync`` is none of these, or the system has no unix sockets.

    """

    def __init__(self, directory: Path, *, appendfsync: str | None = None) -> None:
        if sys.platform == "win32":
            raise InvalidInput("url", "embedded: needs Linux or macOS; on Windows use redis://")
        if appendfsync is not None and appendfsync not in APPENDFSYNC:
            raise InvalidInput("appendfsync", f"must be one of {', '.join(APPENDFSYNC)}")
        self.directory = directory.expanduser().resolve()
        self.socket_path = short_socket_path(self.directory)
        self._appendfsync = appendfsync

    def __repr__(self) -> str:
        return f"EmbeddedServer({str(self.directory)!r})"

    def ensure_running(self, timeout: float = 10.0) -> None:
        """Start the server unless it runs, and return when it has loaded its data and answers.

        Blocking; a PING (and one CONFIG GET if ``appendfsync`` was given) when it runs already,
        about 50 ms when it does not. Any number of processes may call this at once.

        Args:
            timeout: seconds. A server that is still loading then goes on doing so.

        Raises:
            StoreUnavailable: it can't be started or does not answer; with the end of its log.
            InvalidInput: there is no server program, or the directory can't be used.

        """
        deadline = time.monotonic() + timeout
        with self._explained():
            if not self._is_ready(timeout):
                claim(self.directory)
                link_short_path(self.directory)
                with locked(self.directory / STARTER_LOCK, deadline):
                    self._start(deadline)
            self._make_strict_enough(timeout)

    def is_running(self) -> bool:
        """Say whether the server process lives, ready or not (no round trip)."""
        with self._explained():
            return is_locked(self.directory / LIFE_LOCK)

    def pid(self) -> int | None:
        """Return the process id of the server; ``None`` if it does not run or just starts."""
        if not self.is_running():
            return None
        try:
            return int((self.directory / _PID).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            # Missing or empty: the server locks first and writes its id a moment later.
            return None

    def stop(self, timeout: float = 10.0) -> bool:
        """Shut the server down, its data synced, for all who use it; they may start it again.

        Args:
            timeout: seconds.

        Returns:
            Whether it was running.

        Raises:
            StoreUnavailable: it refused, or was still there after the timeout.

        """
        deadline = time.monotonic() + timeout
        if not self.is_running():
            return False
        with self._explained():
            link_short_path(self.directory)
            with locked(self.directory / STARTER_LOCK, deadline):
                if not self.is_running():
                    return False
                self._shut_down(deadline)
        return True

    def _shut_down(self, deadline: float) -> None:
        answer = self._ask("SHUTDOWN", max(deadline - time.monotonic(), _LOOK_AGAIN_SECONDS))
        if answer.startswith("-"):
            raise StoreUnavailable(f"{self} refused to shut down: {answer}\n{self._log_tail()}")
        while self.is_running():
            if time.monotonic() >= deadline:
                raise StoreUnavailable(f"{self} (pid {self.pid()}) did not shut down in time")
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _start(self, deadline: float) -> None:
        """Launch the server once if it does not live, and wait for it."""
        launched_at: int | None = None
        while not self._is_ready(deadline - time.monotonic()):
            if not self.is_running():
                if launched_at is not None:
                    raise StoreUnavailable(f"{self} did not start:\n{self._log_tail(launched_at)}")
                launched_at = self._launch(deadline)
            if time.monotonic() >= deadline:
                raise StoreUnavailable(
                    f"{self} runs (pid {self.pid()}), but is still loading its data or does not "
                    f"answer at {self.socket_path}:\n{self._log_tail(launched_at or 0)}"
                )
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _launch(self, deadline: float) -> int | None:
        """Start the process and return where its log begins; ``None`` if it lives after all."""
        program = find_binary()
        with locked_for_child(self.directory / LIFE_LOCK) as life_lock:
            if life_lock is None:
                return None
            (self.directory / _PID).unlink(missing_ok=True)
            log_start = self._bound_log()
            status, output = self._run(program, life_lock, deadline)
        if status == 0:
            return log_start
        ended = "did not start in time" if status is None else f"ended with status {status}"
        raise StoreUnavailable(f"{self}: {program} {ended}:\n{output}{self._log_tail(log_start)}")

    def _run(self, program: Path, life_lock: int, deadline: float) -> tuple[int | None, str]:
        """Run the program until the server has detached itself, with its configuration read.

        Returns:
            How it ended, ``None`` if it did not in time; and what it said.

        """
        # No pipes: a child that is forked meanwhile would keep their ends open while it lives.
        with TemporaryFile() as configuration, TemporaryFile() as output:
            configuration.write((_CONFIGURATION % (self._appendfsync or "always")).encode())
            configuration.seek(0)
            status: int | None = None
            with suppress(subprocess.TimeoutExpired):
                status = subprocess.run(  # noqa: S603 - our own wheel's program, no shell
                    [program, "-"],
                    stdin=configuration,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.directory,
                    pass_fds=(life_lock,),
                    start_new_session=True,
                    check=False,
                    timeout=max(deadline - time.monotonic(), _LOOK_AGAIN_SECONDS),
                ).returncode
            output.seek(0)
            return status, output.read().decode(errors="replace")

    def _is_ready(self, timeout: float) -> bool:
        """Say whether the server answers and has loaded its data."""
        answer = self._ask("PING", min(max(timeout, _LOOK_AGAIN_SECONDS), _PROBE_SECONDS))
        return bool(answer) and not answer.startswith("-LOADING")

    def _make_strict_enough(self, timeout: float) -> None:
        if self._appendfsync is None:
            return
        present = self._ask("CONFIG GET appendfsync", timeout).split()[-1:]
        if not present or present[0] not in APPENDFSYNC:
            raise StoreUnavailable(f"{self} does not tell its appendfsync, but {present}")
        if APPENDFSYNC.index(present[0]) < APPENDFSYNC.index(self._appendfsync):
            answer = self._ask(f"CONFIG SET appendfsync {self._appendfsync}", timeout)
            if answer != "+OK":
                raise StoreUnavailable(f"{self} refused appendfsync {self._appendfsync}: {answer}")

    def _ask(self, command: str, timeout: float) -> str:
        """Return the raw answer to one command, without its end; empty if there was none."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(command.encode() + b"\r\n")
                return connection.recv(4096).decode(errors="replace").rstrip()
            except OSError:
                # No socket, nobody behind it, too busy, or gone on our SHUTDOWN: no answer.
                return ""

    def _bound_log(self) -> int:
        """Keep only the end of an overgrown log; return its length, in bytes."""
        log = self.directory / _LOG
        if not log.exists():
            return 0
        size = log.stat().st_size
        if size > _LOG_BYTES:
            with log.open("rb") as lines:
                lines.seek(-_LOG_BYTES_KEPT, 2)
                kept = lines.read()
            size = log.write_bytes(kept)
        return size

    def _log_tail(self, start: int = 0) -> str:
        """Return the last lines of the log, of those after byte ``start``."""
        log = self.directory / _LOG
        if not log.exists():
            return f"({log} does not exist)"
        with log.open("rb") as lines:
            lines.seek(max(start, log.stat().st_size - _LOG_BYTES_KEPT))
            text = lines.read().decode(errors="replace")
        return "\n".join([f"the end of {log}:", *text.splitlines()[-_LOG_TAIL_LINES:]])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the file system refuses into ``StoreUnavailable``."""
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(f"{self}: {error}") from error
