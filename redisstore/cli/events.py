"""The command about events."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated, Literal

import typer

from redisstore.calls.event import GAP, Event
from redisstore.cli.command import Invocation, command
from redisstore.cli.output import moment

_STYLES = {
    "created": "green",
    "deleted": "red",
    "pruned": "red",
    "turn_lost": "bold red",
    GAP: "bold red",
    "suspended": "yellow",
    "resume_pending": "yellow",
}


@command("url", "namespace", "json")
def watch(
    call: Invocation,
    since: Annotated[
        Literal["now", "oldest"],
        typer.Option(help="Begin now, or with the oldest event that is kept."),
    ] = "now",
    idle_timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="End after so long without an event; 0: show what there is."
        ),
    ] = None,
) -> None:
    """Show what happens to sessions, on whichever replica, as it happens; Ctrl-C ends it.

    A gap says that events were dropped before they could be shown: the streams keep the latest.
    """
    output = call.output
    with contextlib.suppress(KeyboardInterrupt), call.open_store() as store:
        for event in store.events(since=since, idle_timeout=idle_timeout):
            if output.as_json:
                output.record(event)
            else:
                output.say(_line(event), _STYLES.get(event.kind, ""))
            sys.stdout.flush()


def _line(event: Event) -> str:
    about = {
        "session": event.session_id,
        "was": event.old_session_id,
        "reason": event.reason,
        "replica": event.replica,
        "message": event.message_id,
        "error": event.error,
        "lost from": event.lost_from,
        "until": event.lost_until,
        **event.fields,
    }
    words = [*event.session_keys, *(f"{name}: {text}" for name, text in about.items() if text)]
    return f"{moment(event.at)}  {event.kind:14}  {'  '.join(words)}"
