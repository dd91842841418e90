"""The command about turns."""

from __future__ import annotations

from redisstore.calls.running_turns import RunningTurn
from redisstore.cli.command import Invocation, command
from redisstore.cli.output import moment

_COLUMNS = {
    "session key": True,
    "replica": True,
    "since (UTC)": False,
    "lapses in": False,
    "waiting": False,
    "message": True,
}
"""The columns of the list, and which of them may be folded."""


@command("url", "namespace", "json")
def turns(call: Invocation) -> None:
    """List the turns that run, on whichever replica, and how many wait for each.

    A turn is one message being handled. Its lease is renewed while it runs; one that has lapsed is
    lost, and is recovered within seconds where a replica runs maintenance.
    """
    output = call.output
    with call.open_store() as store:
        found = list(store.list_turns())
    if output.as_json:
        for turn in found:
            output.record(turn)
    elif found:
        output.table(_COLUMNS, map(_row, found))
    else:
        output.say("no turns")


def _row(turn: RunningTurn) -> tuple[str, ...]:
    return (
        turn.session_key,
        turn.replica,
        moment(turn.began_at) if turn.began_at else "not claimed yet",
        "lapsed" if turn.lapsed else f"{turn.lapses_in:.0f} s",
        f"{turn.waiting:,}",
        turn.message_id or "",
    )
