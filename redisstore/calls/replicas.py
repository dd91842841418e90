"""Replicas: how one says that it lives, and the list of all."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from typing import Any, Literal, NamedTuple, TypeAlias

from redisstore.calls.call import (
    Ask,
    Call,
    Context,
    Found,
    Steps,
    Sweep,
    as_bool,
    as_labelled,
    as_moment,
    as_text,
    as_texts,
    as_time,
    as_whole,
)

ReplicaState: TypeAlias = Literal["up", "draining"]

_PAGE = 100
_log = logging.getLogger(__name__)


@cache
def own_version() -> str:
    """Return the version of redisstore; ``unknown`` where it runs without being installed."""
    try:
        return metadata.version("redisstore")
    except metadata.PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica, as it told of itself last; how many turns run and wait there, is of then."""

    name: str
    incarnation: str
    """Tells this process from others that have had the name."""
    started_at: datetime | None
    beat_at: datetime | None
    """Its last heartbeat."""
    lapses_at: datetime
    """When it counts as dead unless it beats again."""
    alive: bool
    """Whether it counts as alive, by the server's clock. The dead are listed for a day."""
    state: ReplicaState
    """``draining``: it begins no more turns, it is shutting down."""
    host: str
    pid: int | None
    version: str
    """Of redisstore; ``unknown`` where it runs from a copy of its source that is not installed."""
    turns: int
    waiting: int
    damage: str = ""
    """What is wrong with what it told, if that was damaged by hand; nothing else is known then."""


class Presence:
    """What a replica tells of itself, from its first heartbeat on."""

    def __init__(self) -> None:
        self._started_at = ""
        self._replaced = False

    def beat(self, context: Context, turns: tuple[int, int], state: ReplicaState) -> Steps[None]:
        """Say that this replica lives, with so many turns that run and wait."""
        told = {
            "state": state,
            "turns": turns[0],
            "waiting": turns[1],
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": own_version(),
        }
        config, space = context.config, context.space
        args = (
            config.replica,
            context.incarnation,
            self._started_at,
            int(config.heartbeat_ttl * 1000),
            *(part for pair in told.items() for part in pair),
        )
        keys = (space.root, space.replicas)
        call: Call[list[str]] = Call("heartbeat", keys, args, as_texts)
        (answer,) = yield Ask([call])
        status, self._started_at = answer
        if status == "replaced" and not self._replaced:
            _log.warning(
                "another process has the name %r now, and is listed as this replica: each needs a "
                "name of its own, or its crash recovery marks sessions that live here",
                config.replica,
            )
        self._replaced = status == "replaced"


def leave(context: Context) -> Call[bool]:
    """Take this replica off the list."""
    space = context.space
    args = (context.config.replica, context.incarnation)
    return Call("leave", (space.root, space.replicas), args, as_bool)


def sweep(context: Context) -> Sweep[Replica]:
    """Yield all replicas."""
    for found in (yield from _pages(context)):
        yield Found(found)


def dead(context: Context) -> Generator[Ask, Any, list[str]]:
    """Return the names of those that are dead."""
    return [one.name for one in (yield from _pages(context)) if not one.alive]


def _pages(context: Context) -> Generator[Ask, Any, list[Replica]]:
    space, found = context.space, dict[str, Replica]()
    after = b""
    while True:
        args = (after, _PAGE)
        (page,) = yield Ask([Call("list_replicas", (space.root, space.replicas), args, _decode)])
        for one in page.replicas:
            # One that has beaten since the page before is in this one, too, and lapses later now.
            found.pop(one.name, None)
            found[one.name] = one
        after = page.last
        if not after:
            return list(found.values())


class Page(NamedTuple):
    """Some of the replicas."""

    last: bytes
    """The score to go on after; empty at the end."""
    replicas: list[Replica]


def _decode(reply: Sequence[Any]) -> Page:
    last, *rest = reply
    rows = zip(rest[::4], rest[1::4], rest[2::4], rest[3::4], strict=True)
    return Page(last, [_replica(*row) for row in rows])


def _replica(name: bytes, lapses: bytes, status: bytes, flat: Sequence[bytes] | bytes) -> Replica:
    damage, flat = (as_text(flat), ()) if isinstance(flat, bytes) else ("", flat)
    fields = {label: as_text(value) for label, value in as_labelled(flat).items()}
    return Replica(
        name=as_text(name),
        incarnation=fields.get("incarnation", ""),
        started_at=as_moment(fields.get("started_at", "")),
        beat_at=as_moment(fields.get("beat_at", "")),
        lapses_at=as_time(lapses),
        alive=status == b"alive",
        state="draining" if fields.get("state") == "draining" else "up",
        host=fields.get("host", ""),
        pid=as_whole(fields.get("pid", "")),
        version=fields.get("version", ""),
        turns=as_whole(fields.get("turns", "")) or 0,
        waiting=as_whole(fields.get("waiting", "")) or 0,
        damage=damage,
    )
