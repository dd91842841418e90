"""The sweep that takes in entries from elsewhere, some hundred a round trip."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Literal, TypeAlias, cast

from redisstore.calls.call import (
    Arg,
    Ask,
    Call,
    Context,
    Found,
    Sweep,
    as_text,
    chunks,
    new_token,
)
from redisstore.calls.handled import Handled, check, take_in
from redisstore.calls.sharing import share
from redisstore.entry import SessionEntry
from redisstore.errors import InvalidInput
from redisstore.fields import encode_entry, flatten
from redisstore.keys import Partition, SessionId, SessionKey
from redisstore.size import check_size

Verdict: TypeAlias = Literal["created", "updated", "kept", "future", "damaged"]
"""What became of a row: stored, stored over an older one, or left out because what is stored is as
new or newer (``kept``), because it was active more than ten years from now (``future``), or because
what is stored can't be compared (``damaged``)."""

Outcome: TypeAlias = "tuple[SessionEntry, Verdict | InvalidInput]"
_Row: TypeAlias = tuple[SessionEntry, dict[str, str]]
"""An entry, and its fields."""
_Bound: TypeAlias = tuple[SessionId, list[str]]
"""A session id, and lanes of one partition that are bound to it."""
_DAMAGED = "what the store has for this key is damaged, and can't be added to"
_ROWS_A_ROUND = 200
_ROWS_A_CALL = 25
"""A call of this size holds the server for less than a millisecond."""


def sweep(
    context: Context,
    entries: Iterable[SessionEntry],
    handled: Mapping[SessionKey, Handled] | None = None,
) -> Sweep[Outcome]:
    """Yield each entry with what became of it; one that can't be stored, with the error.

    What a session has handled goes in before it: none is there without that, wherever this ends.
    """
    rules = context.config.reset_rules.script_args(context.now())
    for batch in _batches(iter(entries)):
        rows = yield from _storable(context, batch, {} if handled is None else handled)
        parts = [
            (home, some)
            for home, mine in context.space.by_partition(rows, _session_key).items()
            for some in chunks(mine, _ROWS_A_CALL)
        ]
        if not parts:
            continue
        # An only partition sees to it itself; several can't see what the others are bound to.
        several = context.space.partition_count > 1
        if several:
            yield from _settle(context, rows)
        replies = yield Ask([_call(context, home, some, rules) for home, some in parts])
        if several:
            yield from _settle(context, rows)
        for (_, some), verdicts in zip(parts, replies, strict=True):
            for (entry, _), verdict in zip(some, verdicts, strict=True):
                yield Found((entry, verdict))


def _storable(
    context: Context, batch: Sequence[SessionEntry], handled: Mapping[SessionKey, Handled]
) -> Generator[Ask | Found[Outcome], Any, list[_Row]]:
    """Take in what sessions have handled, and return those that can be stored, with their fields.

    The others are yielded, each with its error.
    """
    rows: list[_Row] = []
    known: list[tuple[SessionKey, Handled]] = []
    for entry in batch:
        try:
            fields = _checked_fields(context, entry)
            if messages := handled.get(entry.session_key):
                check(context, messages)
                known.append((entry.session_key, messages))
            rows.append((entry, fields))
        except InvalidInput as error:
            yield Found((entry, error))
    if not known:
        return rows
    damaged = yield from take_in(context, known)
    for entry, _ in rows:
        if entry.session_key in damaged:
            yield Found((entry, InvalidInput("handled_messages", _DAMAGED)))
    return [row for row in rows if _session_key(row) not in damaged]


def _session_key(row: _Row) -> SessionKey:
    entry, _ = row
    return entry.session_key


def _settle(context: Context, rows: Sequence[_Row]) -> Generator[Ask, Any, None]:
    """See which ids several lanes are bound to, or will be, and mark them: lanes, and these rows.

    It is asked before the rows are stored, so that it holds wherever this ends, and again after it,
    for others may have been bound to an id between the two.
    """
    lanes: dict[SessionId, set[str]] = {}
    for entry, fields in rows:
        if "id_home" not in fields:
            lanes.setdefault(entry.session_id, set()).add(entry.session_key)
    ids, homes = sorted(lanes), context.space.partitions
    replies: list[list[_Bound]] = yield Ask([_bound_call(home, ids) for home in homes])
    bound: dict[SessionId, set[str]] = {}
    for session_id, keys in chain.from_iterable(replies):
        bound.setdefault(session_id, set()).update(keys)
    shared = {one for one in ids if len(lanes[one] | bound.get(one, set())) > 1}
    for session_id in sorted(shared & bound.keys()):
        yield from share(context, session_id)
    for entry, fields in rows:
        if entry.session_id in shared:
            fields["id_home"] = context.space.home_of_id(entry.session_id).prefix


def _bound_call(home: Partition, ids: Sequence[SessionId]) -> Call[list[_Bound]]:
    def decode(reply: Sequence[Sequence[Any]]) -> list[_Bound]:
        return [(ids[at], [as_text(key) for key in keys]) for at, *keys in reply]

    return Call("list_lanes", (home.prefix, home.updated_at), tuple(ids), decode)


def _batches(entries: Iterator[SessionEntry]) -> Iterator[list[SessionEntry]]:
    while batch := list(islice(entries, _ROWS_A_ROUND)):
        yield batch


def _checked_fields(context: Context, entry: SessionEntry) -> dict[str, str]:
    context.home(entry.session_key)
    context.session_id(entry.session_id)
    fields = encode_entry(entry)
    # What was stored can be taken in again: an entry grows after it was made.
    check_size(fields, 2 * context.config.max_entry_bytes)
    return fields


def _call(
    context: Context,
    home: Partition,
    rows: Iterable[_Row],
    rules: tuple[str | int, ...],
) -> Call[list[Verdict]]:
    args: list[Arg] = [new_token(), context.keep_ms, len(rules) // 3, *rules]
    for entry, fields in rows:
        args += [entry.session_key, len(fields), *flatten(fields.items())]
    return Call(
        "import_sessions", (home.prefix, home.updated_at), tuple(args), _verdicts, creates=True
    )


def _verdicts(reply: Sequence[bytes]) -> list[Verdict]:
    return [cast("Verdict", verdict.decode()) for verdict in reply]
