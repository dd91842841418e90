"""A gateway beside its store: whether it runs on it, and what of it is not in there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from redisstore.calls.replicas import Replica
from redisstore.doctor import Finding
from redisstore.errors import InvalidInput
from redisstore.hermes.home import recorded
from redisstore.sync.store import SessionStore
from redisstore.transfer import verify_file
from redisstore.transfer.routing import Routing


def running(home: Path, name: str, replicas: Sequence[Replica]) -> Finding:
    """Say whether the gateway of a home is the replica that it should be."""
    noted = recorded(home)
    own = next((one for one in replicas if one.name == name), None)
    if own is not None and noted is not None and own.pid == noted.pid:
        since = f", since {own.started_at:%Y-%m-%d %H:%M:%S} UTC" if own.started_at else ""
        message = f"replica {name} is alive: process {own.pid} on {own.host}{since}"
        return Finding("ok", "gateway", message)
    if own is not None:
        message = (
            f"replica {name} is alive, but is process {own.pid} on {own.host}, which is not the"
            " gateway of this home: two of them have one name"
        )
        return Finding("fault", "gateway", message, "give each gateway a replica name of its own")
    if noted is not None and noted.runs:
        message = (
            f"process {noted.pid} is the gateway of this home, but no replica {name} is alive: it"
            " does not use this store, or can't reach it"
        )
        advice = "look for redisstore and 'Failed to load plugin' in logs/agent.log, and restart it"
        return Finding("fault", "gateway", message, advice)
    return Finding("ok", "gateway", f"does not run: no replica {name} is alive")


def transcripts(home: Path, name: str, replicas: Sequence[Replica]) -> Finding:
    """Say whether what was said is where other replicas see it."""
    database = home / "state.db"
    if database.is_symlink():
        return Finding("ok", "transcripts", f"in {database.resolve()}, by a link")
    others = [one.name for one in replicas if one.name != name]
    message = f"{database} is this home's own"
    if not others:
        return Finding("ok", "transcripts", message)
    message = f"{message}; if {', '.join(others)} does not link to it, what was said there"
    advice = "on one machine, link one state.db into all homes; else send each chat to one replica"
    return Finding("warning", "transcripts", f"{message} is not known here", advice)


def untaken(store: SessionStore, home: Path) -> Finding:
    """Say whether the gateway's own index has sessions that the store lacks."""
    zone = store.config.timezone
    try:
        if not _has_index(home):
            return Finding("ok", "index", "the gateway has none of its own")
        report = verify_file(store, home, zone=zone)
    except InvalidInput as error:
        message = f"the gateway's own index can't be compared with the store: {error}"
        return Finding("warning", "index", message, "see redisstore verify, and docs/moving.md")
    later = sum(one.newer == "file" for one in report.differing)
    if not report.missing and not later:
        return Finding("ok", "index", "the store has every session of the gateway's own index")
    message = (
        f"of the gateway's own index the store lacks {len(report.missing):,} sessions, and has"
        f" {later:,} as they were earlier: never imported, pruned since, or the gateway ran without"
        " the plugin"
    )
    what = f"{shlex.quote(str(home))} --timezone {zone}"
    advice = f"redisstore import {what}, if they should be there; redisstore verify {what} names"
    return Finding("warning", "index", message, f"{advice} them")


def _has_index(home: Path) -> bool:
    database, file = home / "state.db", home / "sessions" / "sessions.json"
    return file.is_file() or (database.is_file() and Routing.load(database) is not None)
