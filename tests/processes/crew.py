"""Worker processes that do a job at the same time, and may be killed while they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .worker import FAILED, GO, READY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.connection import Connection
    from types import TracebackType

    from redisstore import StoreConfig

__all__ = ["Crew", "Shift"]

_ROOT = Path(__file__).parents[2]
_PATIENCE = 60.0
"""Seconds after which a silent worker counts as hung; far more than any job takes."""


class _Worker:
    """One process and the pipe to it."""

    def __init__(self) -> None:
        self.pipe: Connection[Any, Any]
        self.pipe, theirs = Pipe()
        self.busy = False
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.processes", str(theirs.fileno())],
                cwd=_ROOT,
                pass_fds=[theirs.fileno()],
            )

    def hear(self) -> tuple[str, Any]:
        """Wait for what the worker says next."""
        if not self.pipe.poll(_PATIENCE):
            raise TimeoutError(f"worker {self.process.pid} says nothing")
        said, what = self.pipe.recv()
        self.busy = said == READY
        if said == FAILED:
            raise AssertionError(f"a worker failed:\n{what}")
        return said, what

    def kill(self) -> None:
        """End it by SIGKILL."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.pipe.close()

    def dismiss(self) -> None:
        """Let it end by itself; one that is still at work, by force."""
        if self.busy:
            self.kill()
            return
        self.pipe.close()
        self.process.wait(timeout=_PATIENCE)


class Crew:
    """`size` workers, used by one test after another; the context manager ends them."""

    def __init__(self, size: int = 8) -> None:
        self.size = size
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        self._workers = [_Worker() for _ in range(self.size)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._workers:
            self._workers.pop().dismiss()

    def together(self, job: str, config: StoreConfig, **arguments: object) -> list[Any]:
        """Have all workers do one job at the same time; their answers, in order of the workers."""
        return self.each([(job, arguments)] * self.size, config)

    def each(
        self, jobs: Sequence[tuple[str, Mapping[str, object]]], config: StoreConfig
    ) -> list[Any]:
        """Have each worker do a job of its own, all at the same time."""
        return self.begin(jobs, config).finish()

    def begin(self, jobs: Sequence[tuple[str, Mapping[str, object]]], config: StoreConfig) -> Shift:
        """Let each worker begin a job, and return while they are at it."""
        for index, worker in enumerate(self._workers):
            if worker.busy:  # left so by a test that failed
                worker.kill()
                self.replace(index)
        shift = Shift(self, config)
        for index, (job, arguments) in enumerate(jobs):
            shift.instruct(index, job, arguments)
        shift.go(range(len(jobs)))
        return shift

    def replace(self, index: int) -> None:
        """Put a new process in the place of a dead one."""
        self._workers[index] = _Worker()

    def __getitem__(self, index: int) -> _Worker:
        return self._workers[index]


class Shift:
    """A job under way."""

    def __init__(self, crew: Crew, config: StoreConfig) -> None:
        self._crew = crew
        self._settings = config.model_dump()
        self._busy: set[int] = set()

    def instruct(self, index: int, job: str, arguments: Mapping[str, object]) -> None:
        """Tell a worker what to do when the word is given."""
        worker = self._crew[index]
        worker.busy = True
        worker.pipe.send((job, self._settings, dict(arguments)))

    def go(self, indexes: Sequence[int]) -> None:
        """Give the word as soon as all of these workers are ready."""
        for index in indexes:
            self._crew[index].hear()
        for index in indexes:
            self._crew[index].pipe.send(GO)
            self._busy.add(index)

    def kill(self, index: int) -> None:
        """Kill a worker in the middle of its job; a new one takes its place, idle."""
        self._busy.remove(index)
        self._crew[index].kill()
        self._crew.replace(index)

    def respawn(self, index: int, job: str, arguments: Mapping[str, object]) -> None:
        """Kill a worker and let its successor join in with a job."""
        self.kill(index)
        self.instruct(index, job, arguments)
        self.go([index])

    def finish(self) -> list[Any]:
        """Wait for those still at work; their answers, in order of the workers."""
        answers = [self._crew[index].hear() for index in sorted(self._busy)]
        self._busy.clear()
        return [answer for _, answer in answers]
