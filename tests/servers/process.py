"""A guarded child process in a directory: what a server is, seen from the operating system."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from .guardian import guard, release
from .waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["GuardedProcess", "ServerStartError"]

_START_SECONDS = 15
_END_SECONDS = 10


class ServerStartError(RuntimeError):
    """The server ended, or kept silent, instead of starting; the message has its log's end."""


class GuardedProcess:
    """A program run in a directory, in a session of its own, so that Ctrl-C is ours alone.

    Its log is `server.log` there, and what it prints, mostly about a wrong configuration, goes
    to `output`; both are kept over several runs.
    """

    def __init__(self, directory: Path) -> None:
        self._log = directory / "server.log"
        self._output = directory / "output"
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._logged_before = 0

    @property
    def running(self) -> bool:
        """Whether the process lives, paused or not."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The id of the process started last."""
        if self._child is None:
            raise RuntimeError("the server is not running")
        return self._child.pid

    def launch(self, command: Sequence[str], *, ready: Callable[[], bool]) -> None:
        """Run the command, to be killed when this process dies first, and wait until `ready`."""
        self._logged_before = len(self._text(self._log))
        with self._output.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                start_new_session=True,
            )
        guard(self._child.pid)
        with suppress(TimeoutError):
            wait_until(lambda: not self.running or ready(), timeout=_START_SECONDS)
            if self.running:
                return
        status = self.end(signal.SIGKILL)
        raise ServerStartError(
            f"{command[0]} was not ready, ended with status {status}:\n{self.log_tail()}"
        )

    def end(self, order: signal.Signals) -> int | None:
        """Send the signal, a paused process too, and return its status; None if none ran."""
        child = self._child
        if child is None:
            return None
        with suppress(ProcessLookupError):
            child.send_signal(order)
            if self._paused:
                child.send_signal(signal.SIGCONT)
        try:
            child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        release(child.pid)
        self._child, self._paused = None, False
        return child.returncode

    def pause(self) -> None:
        """Freeze the process and return when it is frozen."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)
        self._paused = True

    def resume(self) -> None:
        """Let a frozen process go on."""
        os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def log(self) -> str:
        """All it has logged and printed, in every run."""
        return self._text(self._log) + self._text(self._output)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the log."""
        return "\n".join(self.log().splitlines()[-lines:])

    def has_logged(self, *phrases: str) -> bool:
        """Whether one of the phrases, in whatever case, is in the log of the present run."""
        recent = self._text(self._log)[self._logged_before :].casefold()
        return any(phrase.casefold() in recent for phrase in phrases)

    @staticmethod
    def _text(path: Path) -> str:
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
