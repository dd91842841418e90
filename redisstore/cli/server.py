"""Commands about the embedded server: start, stop, status."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import typer

from redisstore.cli.command import Invocation, WrongUsage, command
from redisstore.config import configured
from redisstore.connect.url import parse
from redisstore.embedded import EmbeddedServer, default_directory

DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        help="Where its data is; else that of an embedded: URL, else ~/.local/share/redisstore.",
        show_default=False,
    ),
]


@command("url", "json")
def start(
    call: Invocation,
    directory: DirectoryOption = None,
    appendfsync: Annotated[
        Literal["always", "everysec", "no"] | None,
        typer.Option(help="When writes reach the disk.", show_default="always"),
    ] = None,
) -> None:
    """Start the embedded server unless it runs, and print the URL to use."""
    server = _server(call, directory, appendfsync)
    running = server.is_running()
    server.ensure_running()
    _report(call, server, "was running already" if running else "started")


@command("url", "json")
def stop(call: Invocation, directory: DirectoryOption = None) -> None:
    """Shut the embedded server down, its data saved, for all who use it."""
    server = _server(call, directory)
    _report(call, server, "stopped" if server.stop() else "was not running")


@command("url", "json")
def status(call: Invocation, directory: DirectoryOption = None) -> None:
    """Say whether the embedded server runs (exit status 0) or not (1), and the URL to use."""
    server = _server(call, directory)
    running = server.is_running()
    _report(call, server, "is running" if running else "is not running")
    call.output.failed = not running


def _server(
    call: Invocation, directory: Path | None, appendfsync: str | None = None
) -> EmbeddedServer:
    if call.url is not None and directory is not None:
        raise WrongUsage("--url and --directory don't go together: give one of them")
    target = parse(configured(None, url=call.url).url)
    if target.kind == "embedded" and directory is None:
        directory = Path(target.path) if target.path else None
        appendfsync = appendfsync or target.appendfsync
    elif call.url is not None:
        raise WrongUsage("--url: must be an embedded: URL here; other servers are not ours to run")
    return EmbeddedServer(directory or default_directory(), appendfsync=appendfsync)


def _report(call: Invocation, server: EmbeddedServer, what: str) -> None:
    url = "embedded://" + quote(str(server.directory))
    socket_url = "unix://" + quote(str(server.socket_path))
    pid = server.pid()
    if call.output.as_json:
        call.output.record(
            {
                "running": server.is_running(),
                "pid": pid,
                "directory": str(server.directory),
                "url": url,
                "socket_url": socket_url,
            }
        )
        return
    call.output.say(f"the server of {server.directory} {what}" + (f" (pid {pid})" if pid else ""))
    call.output.facts([("URL", url), ("for other clients, while it runs", socket_url)])
