"""Servers in the directories of a test: made, reached, and ended by force."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisstore.embedded import EmbeddedServer
from tests.servers import wait_until


class Servers:
    """Makes servers in directories of a test and leaves none of them running."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._made: list[EmbeddedServer] = []

    def __call__(self, name: str | Path = "data", appendfsync: str | None = None) -> EmbeddedServer:
        made = EmbeddedServer(self.base / name, appendfsync=appendfsync)
        self._made.append(made)
        return made

    def end(self) -> None:
        for made in self._made:
            _end(made)


def client_of(server: EmbeddedServer) -> redis.Redis:
    """A client which reads text and never tries anything twice."""
    return redis.Redis(
        unix_socket_path=str(server.socket_path),
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )


def kill(server: EmbeddedServer) -> None:
    """End a running server by SIGKILL; its stale socket and its data stay."""
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    _wait_for_its_end(server)


def _end(server: EmbeddedServer) -> None:
    if server.pid() is not None:
        kill(server)
    # One whose start has failed may be on its way out, without an id.
    _wait_for_its_end(server)
    short_path = server.socket_path.parent
    if short_path.is_symlink():
        short_path.unlink()


def _wait_for_its_end(server: EmbeddedServer) -> None:
    wait_until(lambda: not server.is_running(), message=f"the end of {server}")
