"""Commands about turns."""

from __future__ import annotations

from typing import Annotated

import typer

from redisstore.calls.running_turns import RunningTurn
from redisstore.cli.command import Invocation, command
from redisstore.cli.confirmation import agreed
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


@command("url", "namespace", "json")
def revoke_turn(
    call: Invocation,
    key: Annotated[str, typer.Argument(metavar="KEY", help="A session key, as turns lists it.")],
    *,
    handled: Annotated[
        bool,
        typer.Option("--handled", help="Its message counts as handled; else it may come again."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Take a session from the turn that has it: for one that hangs while its replica lives.

    What the turn writes later is refused, and the next in line begins. Its message may be delivered
    again, so that it is not lost; with --handled it is not begun any more.
    """
    output = call.output
    with call.open_store() as store:
        turn = next((one for one in store.list_turns() if one.session_key == key), None)
        if turn is None:
            output.complain(f"no turn runs on {key}")
            return
        if turn.fence is None:
            output.complain(f"the turn on {key} has not begun, nothing hangs there: look again")
            return
        output.say(
            f"{key} is in a turn of {turn.replica} since {moment(turn.began_at)} UTC, with message"
            f" {turn.message_id or '(none)'}; {turn.waiting:,} wait"
        )
        if not yes and not agreed(output, "Revoke it?"):
            return
        if not store.revoke_turn(turn.session_key, turn.token, handled=handled):
            output.complain("that turn has ended by itself meanwhile; nothing was done")
            return
    message = "counts as handled" if handled else "may be delivered again"
    output.say(f"revoked: what it writes is refused, its message {message}")
    if output.as_json:
        output.record({"revoked": turn, "handled": handled})
