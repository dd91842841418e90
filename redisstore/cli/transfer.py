"""Commands that carry sessions over: import, verify and export."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from redisstore.cli.command import Invocation, WrongUsage, command
from redisstore.cli.output import Output
from redisstore.errors import InvalidInput
from redisstore.transfer import BadRow, Difference, export_file, import_file, verify_file
from redisstore.transfer.times import checked_zone

_SHOWN = 20
"""Sessions of a kind, or fields of one, that are listed for people; ``--json`` has all."""

SourceArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A gateway's sessions.json, its state.db, or the directory that has both.",
    ),
]
ScopeOption = Annotated[
    str | None,
    typer.Option(
        "--scope",
        metavar="PATH",
        help="Of a state.db: only this gateway, by its sessions directory.",
    ),
]

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
    file: SourceArgument,
    timezone: TimezoneOption,
    scope: ScopeOption = None,
    *,
    amend: Annotated[
        bool,
        typer.Option(
            "--amend",
            help="Put right, too, what differs without later activity: a gateway's marks."
            " Not after the switch.",
        ),
    ] = False,
) -> None:
    """Take in a gateway's sessions. What the store has as new or newer stays.

    A bad row is named on stderr (exit status 1), and the others are taken in. After an
    interruption, run it again.
    """
    output, zone = call.output, _zone(timezone)
    with call.open_store() as store, output.progress("importing") as advance:
        report = import_file(store, file, zone=zone, scope=scope, amend=amend, on_progress=advance)
    _complain_left_out(output, report.bad)
    if output.as_json:
        output.record(report)
        return
    output.say(
        f"rows: {report.total:,}; created: {report.created:,}, updated: {report.updated:,},"
        f" as new or newer in the store: {report.kept:,} (put right: {report.amended:,}),"
        f" passed over: {len(report.passed_over):,}, bad: {len(report.bad):,}",
        "bold",
    )
    _print_numbers(output, "scope", report.scopes)
    _print_numbers(output, "not carried over", report.not_carried_over)
    _print_passed_over(output, report.passed_over)


@command("url", "namespace", "json")
def verify_sessions(
    call: Invocation,
    file: SourceArgument,
    timezone: TimezoneOption,
    scope: ScopeOption = None,
) -> None:
    """Compare a gateway's sessions with the store, field by field, and change nothing.

    Exit status 1 if a session is missing, can't be compared, or differs although the store's is
    not newer.
    """
    output, zone = call.output, _zone(timezone)
    with call.open_store() as store, output.progress("comparing") as advance:
        report = verify_file(store, file, zone=zone, scope=scope, on_progress=advance)
    _complain_left_out(output, report.bad)
    for key in report.missing:
        output.complain(f"missing in the store: {key}")
    for difference in report.differing:
        output.complain(_told(difference))
    if output.as_json:
        output.record(report)
        return
    output.say(
        f"sessions: {report.total:,}; equal: {report.equal:,}, newer in the store:"
        f" {len(report.moved_on):,}, different: {len(report.differing):,}, missing:"
        f" {len(report.missing):,}, passed over: {len(report.passed_over):,},"
        f" bad: {len(report.bad):,}; only in the store: {report.only_in_store:,}",
        "bold",
    )
    for difference in report.moved_on[:_SHOWN]:
        names = ", ".join(field.name for field in difference.fields)
        output.say(f"newer in the store: {difference.key} ({names})")
    _print_passed_over(output, report.passed_over)


@command("url", "namespace", "json")
def export_sessions(
    call: Invocation,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The sessions.json to write, or replace; with --scope, a state.db, *.db.",
        ),
    ],
    timezone: TimezoneOption,
    scope: Annotated[
        str | None,
        typer.Option(
            "--scope",
            metavar="PATH",
            help="Write to a state.db, as the rows of the gateway with this sessions directory.",
        ),
    ] = None,
) -> None:
    """Write all sessions, with what they have handled, for a gateway or another store.

    What is damaged is named (exit status 1).
    """
    output, zone = call.output, _zone(timezone)
    if str(file) == "-":
        raise WrongUsage("FILE: must be a file, since it is replaced as a whole; not stdout")
    with call.open_store() as store, output.progress("exporting") as advance:
        report = export_file(store, file, zone=zone, scope=scope, on_progress=advance)
    _complain_left_out(output, report.left_out)
    if output.as_json:
        output.record(report)
        return
    output.say(f"sessions written to {file}: {report.written:,}", "bold")
    _print_numbers(output, "inexact", report.inexact)


def _zone(name: str) -> ZoneInfo:
    try:
        return checked_zone(name)
    except InvalidInput as error:
        raise WrongUsage(f"--timezone: {error.problem}") from error


def _complain_left_out(output: Output, rows: Iterable[BadRow]) -> None:
    for row in rows:
        output.complain(f"left out {row.key}: {row.problem}")


def _print_numbers(output: Output, label: str, numbers: Mapping[str, int]) -> None:
    for name, rows in numbers.items():
        output.say(f"{label}: {name} (rows: {rows:,})")


def _print_passed_over(output: Output, rows: Sequence[BadRow]) -> None:
    for row in rows[:_SHOWN]:
        output.say(f"passed over {row.key}: {row.problem}")


def _told(difference: Difference) -> str:
    newer = f", and is newer in the {difference.newer}" if difference.newer else ""
    fields = [
        f"{field.name:.200}: {field.file!s:.100}, in the store {field.store!s:.100}"
        for field in difference.fields[:_SHOWN]
    ]
    if more := len(difference.fields) - len(fields):
        fields.append(f"and {more} more")
    return f"{difference.key} differs{newer}: {'; '.join(fields)}"
