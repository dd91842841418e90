"""Putting right what is stored of a session."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypedDict

from pydantic import ValidationError

from redisstore.calls import sessions
from redisstore.calls.call import Call, Conditions, Context, Steps
from redisstore.calls.sharing import bind
from redisstore.entry import ModelOverride, SessionEntry
from redisstore.errors import InvalidInput
from redisstore.fields import check_size, encode_changes, flatten
from redisstore.keys import SessionId, SessionKey


class Amendments(TypedDict, total=False):
    """Fields of a session and what they should be; ``session_id``: go on under another one."""

    session_id: SessionId
    display_name: str | None
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    total_tokens: int
    last_prompt_tokens: int
    estimated_cost_usd: Decimal
    cost_status: str
    was_auto_reset: bool
    auto_reset_reason: str | None
    reset_had_activity: bool
    is_fresh_reset: bool
    expiry_finalized: bool
    resume_pending: bool
    resume_reason: str | None
    last_resume_marked_at: datetime | None
    model_override: ModelOverride | None


def amend(
    context: Context, session_key: object, changes: Amendments, conditions: Conditions
) -> Steps[SessionEntry | None]:
    """Write fields; with another session id, whoever shares that is asked first."""
    given: dict[str, Any] = dict(changes)
    renamed = given.pop("session_id", None)
    session_id = None if renamed is None else context.session_id(renamed)
    fields = encode_changes(_checked(given), given)
    check_size(fields, context.config.max_entry_bytes)

    def final(id_home: str) -> Call[SessionEntry | None]:
        head = (session_id or "", *sessions.repeatable(context, conditions), id_home)
        args = (*head, *flatten(fields.items()))
        return sessions.entry_call(context, "amend_session", session_key, args)

    return bind(context, session_key, session_id, final)


def _checked(changes: dict[str, Any]) -> SessionEntry:
    """Return an entry with these fields; the others don't matter."""
    for name in changes.keys() - Amendments.__annotations__.keys():
        raise InvalidInput(name, "is no field of a session that can be put right")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    known = {"session_key": SessionKey("k"), "session_id": SessionId("s"), "version": 1}
    times = {"created_at": epoch, "updated_at": epoch}
    try:
        return SessionEntry.model_validate({**known, **times, **changes}, strict=True)
    except ValidationError as error:
        # Without pydantic's own text: it repeats the input, which may be a credential.
        first = error.errors(include_input=False, include_url=False)[0]
        raise InvalidInput(".".join(map(str, first["loc"])), first["msg"]) from None
