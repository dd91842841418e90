"""The command that removes a whole store."""

from __future__ import annotations

from typing import Annotated

import typer

from redisstore.cli.command import Invocation, command
from redisstore.cli.confirmation import typed
from redisstore.errors import CorruptEntry
from redisstore.sync.store import SessionStore


@command("url", "namespace", "json")
def drop(
    call: Invocation,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even while replicas are alive or turns run.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for the namespace.")] = False,
) -> None:
    """Remove a whole store: every key of the namespace, and no other. It can't be undone.

    Stop its gateways first, and export what you want to keep. After an interruption, run it again.
    """
    output = call.output
    with call.open_store() as store:
        namespace, removed = store.config.namespace, 0
        if store.layout() is None:
            output.complain(f"there is no store in namespace {namespace}")
        else:
            output.say(f"namespace {namespace} has {_sessions(store)}")
            if not yes and not typed(output, f"Type {namespace} to remove all of it", namespace):
                return
            with output.progress("removing") as advance:
                removed = store.drop(force=force, on_removed=lambda gone: advance(gone, None))
            output.say(f"keys removed: {removed:,}", "bold")
    if output.as_json:
        output.record({"namespace": namespace, "removed": removed})


def _sessions(store: SessionStore) -> str:
    try:
        return f"{store.count_sessions():,} sessions"
    except CorruptEntry as damaged:
        return f"a number of sessions that is not known: {damaged}"
