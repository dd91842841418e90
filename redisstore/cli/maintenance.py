"""Commands about the store as a whole: stats, prune."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias

import typer

from redisstore.calls.prune import PruneBatch, PruneReport
from redisstore.cli.command import Invocation, WrongUsage, command
from redisstore.cli.output import Output, moment
from redisstore.errors import RedisStoreError
from redisstore.keys import SessionKey
from redisstore.server_info import ServerInfo, ServerNode

_SKEW = timedelta(minutes=5)
"""By how much the clock of this machine may be behind the server's."""
_Told: TypeAlias = ServerInfo | RedisStoreError


@command("url", "namespace", "json")
def stats(call: Invocation) -> None:
    """Count sessions, and say what each server is and how much memory it uses."""
    output = call.output
    with call.open_store() as store:
        context = store.layout()
        counts = store.count()
        # An ACL may well forbid INFO, which no other command needs.
        servers = list(store.list_servers())
        namespace = store.config.namespace
    partitions = context.space.partition_count if context else None
    if output.as_json:
        facts = {"namespace": namespace, "partitions": partitions, **asdict(counts)}
        output.record(facts | {"servers": [_recorded(*one) for one in servers]})
        return
    output.facts(
        [
            ("namespace", namespace),
            ("partitions", str(partitions or "none yet: there is no store here")),
            ("sessions", f"{counts.sessions:,}"),
            ("  active", f"{counts.active:,} (held by a live process)"),
            ("  running", f"{counts.running:,} (in a turn)"),
            ("  expiring", f"{counts.expiring:,} (with a deadline of the reset policy)"),
            ("  expired", f"{counts.expired:,} (past it)"),
            ("oldest activity", f"{moment(counts.oldest)} UTC" if counts.oldest else "-"),
            ("newest activity", f"{moment(counts.newest)} UTC" if counts.newest else "-"),
            *(fact for one in servers for fact in _server_facts(*one)),
        ]
    )


def _recorded(node: ServerNode, told: _Told) -> dict[str, object]:
    if isinstance(told, ServerInfo):
        return {**asdict(node), **asdict(told)}
    return {**asdict(node), "error": str(told)}


def _server_facts(node: ServerNode, told: _Told) -> list[tuple[str, str]]:
    where = f"{node}: " if node.name else ""
    if isinstance(told, RedisStoreError):
        return [("server", f"{where}{told}")]
    limit = f"{told.maxmemory:,}" if told.maxmemory else "no limit"
    return [
        ("server", f"{where}{told}"),
        ("memory used", f"{told.used_memory:,} bytes"),
        ("memory limit", f"{limit} ({told.eviction_policy})"),
        ("append-only", "yes" if told.append_only else "no"),
    ]


@command("url", "namespace", "json")
def prune(
    call: Invocation,
    before: Annotated[
        str | None,
        typer.Option(
            metavar="ISO-8601",
            help="Remove what was last active before; with its offset: 2026-08-24T12:00:00+00:00.",
        ),
    ] = None,
    max_age_days: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Remove what was last active longer ago; 0: nothing.",
            show_default="REDISSTORE_SESSION_STORE_MAX_AGE_DAYS, else 90",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; list what would go.")
    ] = False,
) -> None:
    """Remove sessions without activity since a cutoff.

    Suspended sessions and those held by a live process, or in a turn, stay.
    """
    output = call.output
    if before is not None and max_age_days is not None:
        raise WrongUsage("--before and --max-age-days don't go together: give one of them")
    cutoff = None if before is None else _aware(before)
    would_go: list[SessionKey] = []
    with call.open_store() as store, output.progress("pruning") as advance:
        looked_at = 0

        def on_batch(batch: PruneBatch) -> None:
            nonlocal looked_at
            looked_at += batch.scanned
            advance(looked_at, None)
            if dry_run:
                would_go.extend(batch.removed)

        report = store.prune_old_entries(
            max_age_days, before=cutoff, dry_run=dry_run, on_batch=on_batch
        )
    if output.as_json:
        facts = {
            "cutoff": report.cutoff,
            "dry_run": dry_run,
            "removed": report.removed,
            "kept": report.kept,
            "scanned": report.scanned,
            "repaired": report.repaired,
        }
        output.record(facts | ({"keys": would_go} if dry_run else {}))
    else:
        _print_pruned(output, report, would_go)


def _aware(text: str) -> datetime:
    right = "2026-08-24T12:00:00+00:00"
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise WrongUsage(f"--before: {text!r} is no ISO 8601 time; write {right}") from error
    if parsed.tzinfo is None:
        raise WrongUsage(
            f"--before: {text} does not say in which time zone; in UTC it is"
            f" {parsed.isoformat()}+00:00"
        )
    if parsed > datetime.now(UTC) + _SKEW:
        raise WrongUsage(
            f"--before: {text} is still to come, so all sessions would go, also those in use;"
            " drop removes a whole store"
        )
    return parsed


def _print_pruned(output: Output, report: PruneReport, would_go: list[SessionKey]) -> None:
    for session_key in would_go:
        output.say(session_key)
    if report.cutoff is None:
        output.say("pruning is switched off: the age is 0 days or less")
        return
    done = "to remove" if report.dry_run else "removed"
    kept = ", ".join(f"{number:,} {reason}" for reason, number in report.kept.items() if number)
    cutoff = report.cutoff.isoformat(timespec="milliseconds")
    output.say(f"sessions {done}: {report.removed:,}, last active before {cutoff}", "bold")
    output.say(f"kept though as old: {kept or 'none'}")
    if report.repaired:
        mended = "to put right" if report.dry_run else "put right"
        output.say(f"index members {mended}: {report.repaired:,}")
