"""Runs beside what is measured: ``prune URL BEFORE`` or ``ping URL SECONDS``; prints JSON.

It says that it is ready, and begins when it is told to.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import AbstractContextManager
from datetime import datetime
from time import perf_counter
from types import TracebackType
from typing import Self

import redis

from redisstore import SessionStore, StoreConfig


class Neighbour(AbstractContextManager["Neighbour"]):
    """Another process, which works on the same server."""

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.neighbour", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        """Wait until it is ready, and let it begin."""
        self._read()
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it is a pipe
        stdin.write("go\n")
        stdin.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()

    @property
    def busy(self) -> bool:
        """Whether it still works."""
        return self._process.poll() is None

    def result(self) -> dict[str, float]:
        """Return what it has done."""
        found: dict[str, float] = json.loads(self._read())
        return found

    def _read(self) -> str:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - it is a pipe
        line = stdout.readline()
        if not line:
            raise RuntimeError("the process beside this one has failed")
        return line


def main() -> None:
    """Do what the command line says."""
    work, url, value = sys.argv[1:]
    with SessionStore.from_url(config=StoreConfig(url=url, deadline=120)) as store:
        store.count_sessions()
        print("ready", flush=True)
        sys.stdin.readline()
        done = _prune(store, value) if work == "prune" else _ping(url, float(value))
    print(json.dumps(done), flush=True)


def _prune(store: SessionStore, before: str) -> dict[str, float]:
    started = perf_counter()
    report = store.prune_old_entries(before=datetime.fromisoformat(before))
    return {"done": report.removed, "seconds": perf_counter() - started}


def _ping(url: str, seconds: float) -> dict[str, float]:
    client = redis.Redis.from_url(url)
    started, done = perf_counter(), 0
    while perf_counter() - started < seconds:
        client.ping()
        done += 1
    return {"done": done, "seconds": perf_counter() - started}


if __name__ == "__main__":
    main()
