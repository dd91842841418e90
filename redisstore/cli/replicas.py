"""Commands about the replicas of a gateway."""

from __future__ import annotations

from redisstore.calls.replicas import Replica
from redisstore.cli.command import Invocation, command
from redisstore.cli.output import moment

_COLUMNS = {
    "replica": True,
    "state": False,
    "turns": False,
    "waiting": False,
    "last heartbeat (UTC)": False,
    "started (UTC)": False,
    "host": True,
    "pid": False,
    "version": False,
}
"""The columns of the list, and which of them may be folded."""


@command("url", "namespace", "json")
def replicas(call: Invocation) -> None:
    """List the replicas that run maintenance, and what each is at.

    One that died stays in the list for a day.
    """
    output = call.output
    with call.open_store() as store:
        found = sorted(store.list_replicas(), key=lambda one: one.name)
    if output.as_json:
        for one in found:
            output.record(one)
    elif found:
        output.table(_COLUMNS, map(_row, found))
    else:
        output.say("no replicas: none runs maintenance, see SessionStore.maintenance")


def _row(one: Replica) -> tuple[str, ...]:
    return (
        one.name,
        one.state if one.alive else "dead",
        f"{one.turns:,}",
        f"{one.waiting:,}",
        moment(one.beat_at),
        moment(one.started_at),
        one.host,
        "" if one.pid is None else str(one.pid),
        one.version,
    )
