"""Commands about single sessions: list, show, suspend, reset, delete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from redisstore.calls.listing import Only
from redisstore.cli import by_hand
from redisstore.cli.command import Invocation, command
from redisstore.cli.output import Output, moment
from redisstore.entry import SessionEntry
from redisstore.errors import CorruptEntry
from redisstore.keys import Partition, SessionId, SessionKey
from redisstore.sync.store import SessionStore

DEFAULT_LIMIT = 20
"""Sessions in a list for people; scripts get all."""

_COLUMNS = {
    "last activity (UTC)": False,
    "session key": True,
    "session id": True,
    "state": False,
    "tokens": False,
    "replica": True,
    "name": True,
}
"""The columns of a list, and which of them may be folded."""

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="A session key, agent:main:telegram:dm:42.")
]


@command("url", "namespace", "json")
def list_sessions(
    call: Invocation,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many to show at most.",
            show_default=f"{DEFAULT_LIMIT}; all with --json",
        ),
    ] = None,
    active_minutes: Annotated[
        float | None,
        typer.Option(metavar="N", help="Only those with activity in the last N minutes."),
    ] = None,
    only: Annotated[
        Only | None,
        typer.Option(help="Only those; active: held by a live process, whenever it was used."),
    ] = None,
) -> None:
    """List sessions, newest first. Damaged entries are named on stderr (exit status 1)."""
    output = call.output
    with call.open_store() as store:
        found = store.list_sessions(
            active_minutes,
            limit if limit or output.as_json else DEFAULT_LIMIT,
            only=only,
            on_damaged=lambda damaged: output.complain(f"damaged entry: {damaged}"),
        )
        if output.as_json:
            for entry in found:
                output.record(entry)
        else:
            _print_list(output, found, held=only == "active")


def _print_list(output: Output, found: Iterable[SessionEntry], *, held: bool) -> None:
    rows = [
        (
            moment(entry.updated_at),
            entry.session_key,
            entry.session_id,
            ", ".join(_marks(entry, held=held)),
            f"{entry.total_tokens:,}",
            entry.replica or "",
            entry.display_name or "",
        )
        for entry in found
    ]
    if rows:
        output.table(_COLUMNS, rows)
    else:
        output.say("no sessions")


def _marks(entry: SessionEntry, *, held: bool) -> Iterator[str]:
    if held:
        yield "held"
    if entry.suspended:
        yield "suspended"
    if entry.resume_pending:
        yield "resume pending"


@command("url", "namespace", "json")
def show(
    call: Invocation,
    name: Annotated[
        str, typer.Argument(metavar="KEY_OR_SESSION_ID", help="A session key, or a session id.")
    ],
) -> None:
    """Show one session: its fields, its process holds, its Redis keys, and how to look at them."""
    output = call.output
    with call.open_store() as store:
        session_key, entry = _find(output, store, name)
        if entry is None and not output.failed:
            output.complain(f"there is no session with the key or session id {name}")
            return
        holds = _holds(output, store, session_key)
        context = store.layout()
    if context is not None:
        home = context.space.partition_of(session_key)
        _print_session(output, home, session_key, entry, holds)


def _find(output: Output, store: SessionStore, name: str) -> tuple[SessionKey, SessionEntry | None]:
    """Read a session by its key, else by its session id; a damaged one has no entry to show."""
    try:
        entry = store.get_session(SessionKey(name))
    except CorruptEntry as damaged:
        # The command goes on: where the keys are is what a person needs to put it right.
        output.complain(f"damaged entry: {damaged}")
        return SessionKey(name), None
    entry = entry or store.lookup_by_session_id(SessionId(name))
    return entry.session_key if entry else SessionKey(name), entry


def _holds(output: Output, store: SessionStore, session_key: SessionKey) -> Mapping[str, datetime]:
    try:
        return store.list_holds(session_key)
    except CorruptEntry as damaged:
        output.complain(f"damaged holds: {damaged}")
        return {}


def _print_session(
    output: Output,
    home: Partition,
    session_key: SessionKey,
    entry: SessionEntry | None,
    holds: Mapping[str, datetime],
) -> None:
    now = datetime.now(UTC)
    left = {process: max((lapses - now).total_seconds(), 0) for process, lapses in holds.items()}
    keys = by_hand.redis_keys(home, session_key, entry)
    commands = by_hand.commands(home, session_key, entry)
    if output.as_json:
        listed = [
            {"process_id": process, "lapses_at": holds[process], "seconds_left": round(seconds, 3)}
            for process, seconds in left.items()
        ]
        output.record(
            {"session": entry, "holds": listed, "redis_keys": keys, "redis_cli": commands}
        )
        return
    if entry is not None:
        output.facts(_fields(entry))
    for process, seconds in left.items():
        output.say(f"held by process {process} for {seconds:.0f} s more unless renewed")
    output.heading("Redis keys")
    output.facts(keys.items())
    output.heading("To look at them (add -h, -p, -s or -u for your server, -c on Cluster)")
    for line in commands:
        output.say(line)


def _fields(entry: SessionEntry) -> Iterator[tuple[str, str]]:
    for name in type(entry).model_fields:
        value = getattr(entry, name)
        if name in {"origin", "model_override"} and value is not None:
            for part, text in value.model_dump(exclude_none=True).items():
                yield f"{name}.{part}", str(text)
        elif isinstance(value, datetime):
            yield name, value.isoformat(timespec="milliseconds")
        else:
            yield name, "-" if value is None else str(value)


@command("url", "namespace", "json")
def suspend(call: Invocation, key: KeyArgument) -> None:
    """Make the next message of a session start anew; prune leaves it alone until then."""
    with call.open_store() as store:
        if store.suspend_session(SessionKey(key)):
            _done(
                call.output, f"suspended {key}: its next message starts anew", key, suspended=True
            )
        else:
            _complain_unknown(call.output, store, key)


@command("url", "namespace", "json")
def reset(call: Invocation, key: KeyArgument) -> None:
    """Start a session anew now: a new session id, without counters, marks and model override.

    Its origin, name, platform and chat type stay.
    """
    with call.open_store() as store:
        entry = store.reset_session(SessionKey(key))
        if entry is None:
            _complain_unknown(call.output, store, key)
        else:
            text = f"reset {key}: its session id is now {entry.session_id}"
            _done(call.output, text, key, session_id=entry.session_id)


@command("url", "namespace", "json")
def delete(call: Invocation, key: KeyArgument) -> None:
    """Delete a session, also one that is damaged.

    With it go its process holds, and what is known of handled messages. A turn that runs is lost.
    """
    with call.open_store() as store:
        if store.delete_session(SessionKey(key)):
            _done(call.output, f"deleted {key}", key, deleted=True)
        else:
            _complain_unknown(call.output, store, key)


def _done(output: Output, text: str, key: str, **facts: object) -> None:
    output.say(text)
    if output.as_json:
        output.record({"session_key": key, **facts})


def _complain_unknown(output: Output, store: SessionStore, key: str) -> None:
    bound = store.lookup_by_session_id(SessionId(key))
    hint = f"; that is the session id of {bound.session_key}" if bound else ""
    output.complain(f"there is no session with the key {key}{hint}")
