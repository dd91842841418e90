"""One entry as a row, as hermes-agent 0.19 writes it to its file and its database.

``origin.is_bot`` and the fields that only redisstore has stand in it for a later import; the
gateway passes them over, as 0.13 does those about automatic resets, profiles, automatic threads and
the model override, which it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from redisstore.calls.handled import Handled
from redisstore.entry import SessionEntry
from redisstore.source import SessionSource
from redisstore.transfer.times import from_file, to_file

_PATH_LIKE_ID = re.compile(r"\.\.|[/\\]|^[^\W\d_]:")
_PATH_LIKE_KEY = re.compile(r"\.\.|^[/\\]|^[^\W\d_]:")
_TIMES = ("created_at", "updated_at", "last_resume_marked_at")
_AS_THEY_ARE = (
    "display_name",
    "platform",
    "chat_type",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "total_tokens",
    "last_prompt_tokens",
    "cost_status",
    "expiry_finalized",
    "suspended",
    "resume_pending",
    "resume_reason",
    "is_fresh_reset",
    "was_auto_reset",
    "auto_reset_reason",
    "reset_had_activity",
)
HANDLED = "handled_messages"
"""The field with the messages that a session has handled: by id, when that was done (UTC)."""
OF_OURS = ("replica", "interruptions", "previous_session_id")
"""Fields that no gateway writes."""
_ORIGIN_ALWAYS = (
    "platform",
    "chat_name",
    "chat_type",
    "user_id",
    "user_name",
    "thread_id",
    "chat_topic",
)
_ORIGIN_IF_SET = (
    "user_id_alt",
    "chat_id_alt",
    "parent_chat_id",
    "message_id",
    "is_bot",
    "profile",
    "auto_thread_created",
    "auto_thread_initial_name",
)


def to_row(entry: SessionEntry, handled: Handled, zone: ZoneInfo) -> dict[str, Any]:
    """Return an entry as a row, its times in the zone's local time, with what it has handled.

    Raises:
        OverflowError: a time has no local form.

    """
    row: dict[str, Any] = {"session_key": entry.session_key, "session_id": entry.session_id}
    for name in _TIMES:
        moment = getattr(entry, name)
        row[name] = None if moment is None else to_file(moment, zone)
    row |= {name: getattr(entry, name) for name in _AS_THEY_ARE}
    row["estimated_cost_usd"] = float(entry.estimated_cost_usd)
    row |= {name: value for name in OF_OURS if (value := getattr(entry, name))}
    if entry.model_override is not None:
        row["model_override"] = entry.model_override.model_dump(exclude_none=True)
    if entry.origin is not None:
        row["origin"] = _origin(entry.origin)
    if handled:
        # The first done in front. With an offset, for no hour of theirs may be ambiguous.
        earliest_first = sorted(handled.items(), key=itemgetter(1))
        row[HANDLED] = {message_id: at.isoformat() for message_id, at in earliest_first}
    return row


def _origin(source: SessionSource) -> dict[str, Any]:
    # The gateway can't do without a chat id, and takes an empty one as unknown.
    origin: dict[str, Any] = {"chat_id": source.chat_id or ""}
    origin |= {name: getattr(source, name) for name in _ORIGIN_ALWAYS}
    given = {name: getattr(source, name) for name in _ORIGIN_IF_SET}
    origin |= {name: value for name, value in given.items() if value not in (None, False)}
    if source.guild_id is not None:
        # 0.19 reads the first name, 0.13 the second.
        origin |= {"scope_id": source.guild_id, "guild_id": source.guild_id}
    return origin


def inexact(entry: SessionEntry, row: dict[str, Any], zone: ZoneInfo) -> Iterator[str]:
    """Say what a row can't express of its entry, and why the gateway would pass the row over."""
    for name in _TIMES:
        if row[name] is not None and from_file(row[name], zone) != getattr(entry, name):
            yield f"{name}: the clock repeats this hour, and the row means the first"
    if Decimal(str(row["estimated_cost_usd"])) != entry.estimated_cost_usd:
        yield "estimated_cost_usd: has more digits than a JSON number keeps"
    if _PATH_LIKE_ID.search(entry.session_id):
        yield "session_id: looks like a path, and the gateway refuses those"
    if _PATH_LIKE_KEY.search(entry.session_key):
        yield "session_key: looks like a path, and the gateway refuses those"
    if entry.session_key.startswith("_"):
        yield "session_key: begins with '_', as a note does, and is taken for one"
