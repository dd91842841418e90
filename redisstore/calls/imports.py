"""The sweep that takes in entries from elsewhere, some hundred a round trip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, TypeAlias, cast

from redisstore.calls.call import Arg, Ask, Call, Context, Found, Sweep, new_token
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
_ROWS_A_ROUND = 200
_ROWS_A_CALL = 25
"""A call of this size holds the server for less than a millisecond."""


def sweep(context: Context, entries: Iterable[SessionEntry]) -> Sweep[Outcome]:
    """Yield each entry with what became of it; one that can't be stored, with the error."""
    rules = context.config.reset_rules.script_args(context.now())
    for batch in _batches(iter(entries)):
        rows: list[tuple[SessionKey, tuple[SessionEntry, dict[str, str]]]] = []
        for entry in batch:
            try:
                rows.append((entry.session_key, (entry, _checked_fields(context, entry))))
            except InvalidInput as error:
                yield Found((entry, error))
        parts = [
            (home, pairs[start : start + _ROWS_A_CALL])
            for home, pairs in context.space.by_partition(rows).items()
            for start in range(0, len(pairs), _ROWS_A_CALL)
        ]
        if not parts:
            continue
        replies = yield Ask(
            [
                _call(context, home, [(key, fields) for key, (_, fields) in pairs], rules)
                for home, pairs in parts
            ]
        )
        if context.space.partition_count > 1:
            # An only partition has seen to it; several can't see what the others are bound to.
            ids = {entry.session_id for _, pairs in parts for _, (entry, _) in pairs}
            yield from _share(context, sorted(ids))
        for (_, pairs), verdicts in zip(parts, replies, strict=True):
            for (_, (entry, _)), verdict in zip(pairs, verdicts, strict=True):
                yield Found((entry, verdict))


def _share(context: Context, ids: Sequence[SessionId]) -> Sweep[Outcome]:
    """Have the turns of lanes that are bound to one id exclude one another, wherever they live."""
    homes = context.space.partitions
    counts: list[list[int]] = yield Ask([_count_call(home, ids) for home in homes])
    for session_id, *bound in zip(ids, *counts, strict=True):
        if sum(bound) > 1:
            yield from share(context, session_id)


def _count_call(home: Partition, ids: Sequence[SessionId]) -> Call[list[int]]:
    def decode(reply: Sequence[bytes]) -> list[int]:
        return [int(count) for count in reply]

    return Call("count_bindings", (home.prefix, home.updated_at), tuple(ids), decode)


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
    rows: Iterable[tuple[SessionKey, dict[str, str]]],
    rules: tuple[str | int, ...],
) -> Call[list[Verdict]]:
    args: list[Arg] = [new_token(), context.keep_ms, len(rules) // 3, *rules]
    for session_key, fields in rows:
        args += [session_key, len(fields), *flatten(fields.items())]
    return Call(
        "import_sessions", (home.prefix, home.updated_at), tuple(args), _verdicts, creates=True
    )


def _verdicts(reply: Sequence[bytes]) -> list[Verdict]:
    return [cast("Verdict", verdict.decode()) for verdict in reply]
