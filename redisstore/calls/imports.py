"""The call that takes in a batch of entries from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias, cast

from redisstore.calls.call import Call, Context, new_token
from redisstore.entry import SessionEntry
from redisstore.fields import check_size, encode_entry, flatten

Verdict: TypeAlias = Literal["created", "updated", "kept", "future", "damaged"]
"""What became of a row; see ``lua/import_sessions.lua``."""


def check(context: Context, entry: SessionEntry) -> None:
    """Raise ``InvalidInput`` for an entry that can't be stored."""
    context.home(entry.session_key)
    context.session_id(entry.session_id)
    check_size(encode_entry(entry), context.config.max_entry_bytes)


def take_in(
    context: Context, entries: Iterable[SessionEntry]
) -> list[tuple[list[SessionEntry], Call[list[Verdict]]]]:
    """Return, for each partition, the entries that go there and the call that brings them."""
    rules = context.config.reset_rules.script_args(context.now())
    batches = context.space.by_partition((entry.session_key, entry) for entry in entries)
    calls = []
    for home, rows in batches.items():
        args: list[str | int] = [new_token(), context.keep_ms, len(rules) // 8, *rules]
        for session_key, entry in rows:
            fields = encode_entry(entry)
            args += [session_key, len(fields), *flatten(fields.items())]
        call = Call("import_sessions", (home.prefix, home.updated_at), tuple(args), _verdicts)
        calls.append(([entry for _, entry in rows], call))
    return calls


def _verdicts(reply: Sequence[bytes]) -> list[Verdict]:
    return [cast("Verdict", verdict.decode()) for verdict in reply]
