"""Putting right what is stored of a session, also going on with it under another session id.

A turn that runs goes on with it. Where other lanes may be bound to the new id, that turn must have
its lock before. While it is given that, the lane knows where it is going, so that whoever takes the
lock away again meanwhile can say so there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Literal, TypeAlias, TypedDict

from pydantic import ValidationError

from redisstore.calls import sessions
from redisstore.calls.call import Ask, Call, Conditions, Context, Lease, Steps, one
from redisstore.calls.counters import LONGEST_COST_STATUS, rule_args
from redisstore.calls.leases import recover_lane
from redisstore.calls.locks import lock_call, unlock_call, unlock_lease
from redisstore.calls.sharing import Bound, bind
from redisstore.calls.turn_replies import Locked, LockLapsed
from redisstore.entry import ModelOverride, SessionEntry
from redisstore.errors import InvalidInput, StoreUnavailable, TurnBusy
from redisstore.fields import encode_changes, flatten
from redisstore.keys import SessionId, SessionKey
from redisstore.text import checked_text


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


@dataclass(frozen=True, slots=True)
class _Amended:
    """It was done."""

    entry: SessionEntry | None
    went_on: str
    """Token of the turn that goes on under the new id."""
    unlock: SessionId | None
    """What that turn had locked."""


_Answer: TypeAlias = _Amended | Lease | Literal["share"]
"""Done, or which turn has to be given the lock of the new id first, or who has it to be marked."""


def amend(
    context: Context,
    session_key: object,
    changes: Amendments,
    conditions: Conditions,
    clock: Callable[[], float] = time.monotonic,
) -> Steps[SessionEntry | None]:
    """Write fields; with another session id, whoever shares that is asked first.

    Raises ``StoreUnavailable`` where the lock of that id is not to be had within the deadline, for
    those who have it lapse again and again. Nothing was changed then.
    """
    home, key = context.home(session_key)
    if not isinstance(changes, Mapping):
        raise InvalidInput("changes", f"must be a mapping, not {type(changes).__name__}")
    given: dict[str, Any] = dict(changes)
    session_id = context.session_id(given.pop("session_id")) if "session_id" in given else None
    fields = flatten(encode_changes(_checked(context, given), given).items())
    entry_of = sessions.entry_of(key, home.entry(key))

    def decode(reply: Sequence[Any]) -> _Answer:
        if reply[0] == b"share":
            return "share"
        if reply[0] == b"lock":
            return Lease(key, reply[1].decode(), int(reply[2]), SessionId(session_id or ""))
        _, went_on, unlock, flat = reply
        return _Amended(entry_of(flat), went_on.decode(), SessionId(unlock.decode()) or None)

    def call(id_home: str, locked_for: str = "") -> Call[_Answer]:
        head = (session_id or "", *sessions.repeatable(context, conditions), id_home, locked_for)
        args = (*head, *rule_args(context), *fields)
        return Call("amend_session", (home.prefix, home.entry(key)), args, decode)

    def binding(id_home: str) -> Steps[Bound]:
        return _lock_and_amend(context, key, call(id_home), partial(call, id_home), clock)

    return bind(context, session_id or SessionId(""), binding)


def _lock_and_amend(
    context: Context,
    session_key: SessionKey,
    first: Call[_Answer],
    locked_for: Callable[[str], Call[_Answer]],
    clock: Callable[[], float],
) -> Steps[Bound]:
    locked: Lease | None = None
    until = clock() + context.config.deadline
    answer = yield from one(first)
    while isinstance(answer, Lease):
        if locked is not None:
            yield Ask([unlock_lease(context, locked)])
        yield from _lock(context, answer, until, clock)
        locked = answer
        answer = yield from one(locked_for(locked.token))
    if locked is not None and (isinstance(answer, str) or locked.token != answer.went_on):
        yield Ask([unlock_lease(context, locked)])
    if isinstance(answer, str):
        return answer
    if answer.unlock is not None:
        yield Ask([unlock_call(context, answer.unlock, session_key, answer.went_on)])
    return answer.entry


def _lock(context: Context, lease: Lease, until: float, clock: Callable[[], float]) -> Steps[None]:
    """Give a turn the lock of the session id that it is to go on under."""
    revoked = ""
    while clock() < until:
        answer = yield from one(lock_call(context, lease, revoked=revoked))
        if isinstance(answer, Locked):
            return
        if not isinstance(answer, LockLapsed):
            raise TurnBusy(lease.session_key, answer.replica, answer.lapses_at)
        revoked = answer.token
        yield from recover_lane(context, answer.session_key, revoked, lease.session_id)
    raise StoreUnavailable(
        f"the lock of {lease.session_id} was not to be had within {context.config.deadline:g} s"
    )


def _checked(context: Context, changes: dict[str, Any]) -> SessionEntry:
    """Return an entry with these fields; the others don't matter."""
    longest = {
        "display_name": context.config.max_entry_bytes // 2,
        "cost_status": LONGEST_COST_STATUS,
        "auto_reset_reason": sessions.LONGEST_REASON,
        "resume_reason": sessions.LONGEST_REASON,
    }
    for name, value in changes.items():
        if name not in Amendments.__annotations__:
            raise InvalidInput(f"{name!s:.60}", "is no field of a session that can be put right")
        if name in longest and value is not None:
            checked_text(name, value, max_bytes=longest[name])
    if changes.get("model_override") is not None:
        override = sessions.checked_override(context, changes["model_override"], "model_override")
        changes = {**changes, "model_override": override}
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    known = {"session_key": SessionKey("k"), "session_id": SessionId("s"), "version": 1}
    times = {"created_at": epoch, "updated_at": epoch}
    try:
        return SessionEntry.model_validate({**known, **times, **changes}, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InvalidInput(".".join(map(str, first["loc"])), first["msg"]) from None
