"""The application: which commands there are, and the options in front of them."""

from __future__ import annotations

import io
import sys

import typer

from redisstore.cli import (
    demo,
    doctor,
    drop,
    events,
    maintenance,
    replicas,
    server,
    sessions,
    transfer,
    turns,
)
from redisstore.cli.command import JsonOption, NamespaceOption, UrlOption

_SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="redisstore",
    no_args_is_help=True,
    add_completion=False,
    context_settings=_SETTINGS,
    # A traceback means a fault of ours; with locals it would show what URLs carry.
    pretty_exceptions_enable=False,
)
server_app = typer.Typer(
    no_args_is_help=True, help="The embedded server: one directory, a Valkey of your own."
)


@app.callback()
def _options(
    ctx: typer.Context,
    *,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    json: JsonOption = False,
) -> None:
    """Look at, look after and move the shared sessions of a chat gateway.

    Settings not given here come from the environment: REDISSTORE_URL (else
    redis://localhost:6379/0), REDISSTORE_NAMESPACE (else redisstore) ...

    Exit status 0: done; 1: refused, or found faults; 2: wrong usage; 3: Redis does
    not answer.
    """
    ctx.obj = {"url": url, "namespace": namespace, "json": json}


app.command("list")(sessions.list_sessions)
app.command("show")(sessions.show)
app.command("stats")(maintenance.stats)
app.command("prune")(maintenance.prune)
app.command("replicas")(replicas.replicas)
app.command("turns")(turns.turns)
app.command("revoke-turn")(turns.revoke_turn)
app.command("watch")(events.watch)
app.command("suspend")(sessions.suspend)
app.command("reset")(sessions.reset)
app.command("delete")(sessions.delete)
app.command("drop")(drop.drop)
app.command("import")(transfer.import_sessions)
app.command("verify")(transfer.verify_sessions)
app.command("export")(transfer.export_sessions)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.add_typer(server_app, name="server")
server_app.command("start")(server.start)
server_app.command("stop")(server.stop)
server_app.command("status")(server.status)


def run() -> None:
    """Run the application with the arguments of this process, and exit with its status."""
    # A terminal that can't show a letter gets its escape, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="redisstore")
