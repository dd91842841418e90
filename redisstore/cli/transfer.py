"""Commands that carry sessions over: import and export."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from redisstore.cli.command import Invocation, WrongUsage, command
from redisstore.cli.output import Output
from redisstore.transfer import BadRow, export_file, import_file

TimezoneOption = Annotated[
    str,
    typer.Option(
        "--timezone",
        metavar="ZONE",
        help="The time zone of the gateway whose file it is: Europe/Berlin.",
    ),
]


@command("url", "namespace", "json")
def import_sessions(
    call: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The sessions.json of a gateway.")],
    timezone: TimezoneOption,
) -> None:
    """Take in a gateway's sessions.json. What the store has as new or newer stays.

    A bad row is named on stderr (exit status 1), and the others are taken in.
    """
    output, zone = call.output, _zone(timezone)
    with call.open_store() as store, output.progress("importing") as advance:
        report = import_file(store, file, zone=zone, on_progress=advance)
    _complain_left_out(output, report.bad)
    if output.as_json:
        output.record(report)
        return
    output.say(
        f"rows: {report.total:,}; created: {report.created:,}, updated: {report.updated:,},"
        f" as new or newer in the store: {report.kept:,}, bad: {len(report.bad):,}",
        "bold",
    )
    _print_numbers(output, "not carried over", report.not_carried_over)


@command("url", "namespace", "json")
def export_sessions(
    call: Invocation,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The sessions.json to write, or replace.")
    ],
    timezone: TimezoneOption,
) -> None:
    """Write all sessions as a gateway's sessions.json. Damaged ones are named (exit status 1)."""
    output, zone = call.output, _zone(timezone)
    if str(file) == "-":
        raise WrongUsage("FILE: must be a file, since it is replaced as a whole; not stdout")
    with call.open_store() as store, output.progress("exporting") as advance:
        report = export_file(store, file, zone=zone, on_progress=advance)
    _complain_left_out(output, report.left_out)
    if output.as_json:
        output.record(report)
        return
    output.say(f"sessions written to {file}: {report.written:,}", "bold")
    _print_numbers(output, "inexact", report.inexact)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise WrongUsage(
            f"--timezone: {name!r:.60} is unknown; use an IANA name like Europe/Berlin"
        ) from error


def _complain_left_out(output: Output, rows: Iterable[BadRow]) -> None:
    for row in rows:
        output.complain(f"left out {row.key}: {row.problem}")


def _print_numbers(output: Output, label: str, numbers: Mapping[str, int]) -> None:
    for name, rows in numbers.items():
        output.say(f"{label}: {name} (rows: {rows:,})")
