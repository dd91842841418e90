"""The command that tells what is wrong: with a store, and with a gateway's plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from redisstore.cli.command import Invocation, WrongUsage, command
from redisstore.cli.output import Output
from redisstore.doctor import Finding, examine
from redisstore.errors import StoreRefused, StoreUnavailable
from redisstore.hermes.examination import examine_gateway

_STYLES = {"ok": "green", "warning": "yellow", "fault": "bold red"}


@command("url", "namespace", "json")
def doctor(
    call: Invocation,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put the indexes right, then look again.")
    ] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Leave the sessions and their indexes out: for a monitor, each minute."
        ),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as faults.")] = False,
    hermes: Annotated[
        bool,
        typer.Option("--hermes", help="Check the plugin for hermes-agent too, and its settings."),
    ] = False,
    home: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The home of that gateway.",
            show_default="HERMES_HOME, else ~/.hermes",
        ),
    ] = None,
) -> None:
    """Check the servers' settings and every entry with its indexes.

    Exit status 0: no fault; 1: a fault, with --strict a warning too; 2: wrong usage; 3: Redis does
    not answer.

    With --hermes, of the store that a gateway of hermes-agent uses; run it in its environment.
    """
    output = call.output
    if home is not None and not hermes:
        raise WrongUsage("--home goes with --hermes")
    if hermes and (call.url or call.namespace):
        raise WrongUsage(
            "--hermes takes the store from the gateway's settings: leave out --url and --namespace"
        )
    if quick and repair:
        raise WrongUsage("--quick looks at nothing that --repair could put right")
    if hermes:
        found = examine_gateway(home, repair=repair, quick=quick)
    else:
        found = _of_store(call, repair=repair, quick=quick)
    findings: list[Finding] = []
    stopped: StoreUnavailable | StoreRefused | None = None
    try:
        for finding in found:
            findings.append(finding)
            _print_finding(output, finding)
    except (StoreUnavailable, StoreRefused) as error:
        stopped = error
    numbers = {
        severity: sum(finding.severity == severity for finding in findings) for severity in _STYLES
    }
    summary = f"faults: {numbers['fault']}, warnings: {numbers['warning']}"
    if stopped is not None:
        summary = f"{summary}; the rest could not be checked" if findings else "nothing was checked"
    output.say(summary, "bold")
    if output.as_json:
        output.record(
            {
                "complete": stopped is None,
                "faults": numbers["fault"],
                "warnings": numbers["warning"],
                "findings": findings,
            }
        )
    output.failed = numbers["fault"] > 0 or (strict and numbers["warning"] > 0)
    if stopped is not None:
        raise stopped


def _of_store(call: Invocation, *, repair: bool, quick: bool) -> Iterator[Finding]:
    with call.open_store() as store:
        yield from examine(store, repair=repair, quick=quick)


def _print_finding(output: Output, finding: Finding) -> None:
    output.say(
        f"{finding.severity:8} {finding.check:12} {finding.message}", _STYLES[finding.severity]
    )
    if finding.advice:
        output.say(f"{'':21} {finding.advice}")
