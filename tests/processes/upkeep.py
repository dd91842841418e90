"""What replicas do beside their messages, as jobs of worker processes, and what they write down."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from redisstore import ExpiredSession, SessionStore
from redisstore.calls import jobs
from redisstore.calls.call import Ask, Context
from redisstore.calls.jobs import Job, Worker
from tests.servers import wait_until

from .lanes import source_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

__all__ = ["Log", "Run", "look_after", "serve_and_look_after", "take_and_do"]

_FOR_EVER = 600.0
STEPS = 20
"""Of the job that is taken in turns."""


class Log:
    """Lines that a process writes one by one, so that SIGKILL loses none of them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def open(self) -> Iterator[Log]:
        self._file = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        yield self
        os.close(self._file)

    def write(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    def lines(self) -> list[list[str]]:
        """All that is written so far, by words."""
        if not self._path.exists():
            return []
        return [line.split(" ") for line in self._path.read_text("utf-8").splitlines()]


class Run(NamedTuple):
    """One time that a replica did the job: by the clock that all processes of a machine share."""

    replica: str
    began: float
    last_step: float
    done: bool


def look_after(store: SessionStore, replica: str, log: Path, until: Path) -> None:
    """Run maintenance as a replica until a file is there; note each session before and after."""
    with Log(log).open() as written, _as_replica(store, replica) as own:

        def close(expired: ExpiredSession) -> None:
            written.write("begun", expired.key)
            written.write("done", expired.key)

        with own.maintenance(close):
            wait_until(until.exists, timeout=_FOR_EVER)


def serve_and_look_after(
    store: SessionStore, replica: str, names: Sequence[str], in_turns: bool, until: Path
) -> None:
    """Touch lanes, or begin a turn on each and leave it running, and run maintenance."""
    with _as_replica(store, replica) as own, own.maintenance():
        for name in names:
            own.get_or_create_session(source_of(name))
        turns = [own.turn(source_of(name), f"message {name}") for name in names if in_turns]
        for turn in turns:
            turn.__enter__()
        wait_until(until.exists, timeout=_FOR_EVER)


def take_and_do(store: SessionStore, replica: str, log: Path, until: Path) -> None:
    """Do a job of several steps whenever it is to be had; note each step."""
    with Log(log).open() as written, _as_replica(store, replica) as own:
        complete: Any = own._complete

        def work(context: Context) -> Generator[Any, Any, None]:
            written.write("began", time.monotonic())
            for _ in range(STEPS):
                yield Ask([jobs.renew(context, job, "nobody's")])
                written.write("step", time.monotonic())
                time.sleep(0.01)
            written.write("done", time.monotonic())

        job = Job("in turns", 0.0, work)
        worker = Worker(job, until.exists)
        while not until.exists():
            time.sleep(min(complete(worker.attend), 0.01))


def runs(logs: dict[str, Log]) -> list[Run]:
    """Return every time that the job was done, by whichever replica, as the logs tell."""
    found: list[Run] = []
    for replica, log in logs.items():
        for kind, when in log.lines():
            if kind == "began":
                found.append(Run(replica, float(when), float(when), done=False))
            else:
                found[-1] = found[-1]._replace(last_step=float(when), done=kind == "done")
    return sorted(found, key=lambda run: run.began)


@contextmanager
def _as_replica(store: SessionStore, replica: str) -> Iterator[SessionStore]:
    config = store.config.model_copy(update={"replica": replica})
    with SessionStore.from_url(config=config) as own:
        yield own
