"""The command that shows it all at work."""

from __future__ import annotations

from typing import Annotated

import typer

from redisstore.cli.command import Invocation, command


@command("url")
def demo(
    call: Invocation,
    seconds: Annotated[float, typer.Option(min=1, help="How long it runs.")] = 10,
    replicas: Annotated[int, typer.Option(min=1, max=32, help="How many gateways.")] = 3,
) -> None:
    """Run several gateways on one store, kill two, and see that each message is answered once.

    Without --url, on an embedded server of its own.
    """
    from redisstore.demo import run_demo  # noqa: PLC0415 - starts processes; no other command needs it

    call.output.failed = not run_demo(call.url, seconds=seconds, replicas=replicas)
