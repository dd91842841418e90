"""Calls about one session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from redisstore.calls.call import (
    Arg,
    Call,
    Conditions,
    Context,
    as_bool,
    new_session_id,
    new_token,
)
from redisstore.calls.counters import Counters, counter_args, rule_args
from redisstore.entry import ModelOverride, SessionEntry
from redisstore.errors import InvalidInput
from redisstore.fields import (
    Hash,
    decode_entry,
    encode_new,
    encode_override,
    flatten,
)
from redisstore.keys import SessionKey
from redisstore.size import check_size
from redisstore.source import SessionSource, build_session_key
from redisstore.text import checked_text

LONGEST_REASON = 256


def entry_of(session_key: SessionKey, redis_key: str) -> Callable[[Hash], SessionEntry | None]:
    """Return what reads a session from a reply, or that there is none."""

    def decode(reply: Hash) -> SessionEntry | None:
        return decode_entry(session_key, redis_key, reply) if reply else None

    return decode


def entry_call(
    context: Context, script: str, session_key: object, args: Sequence[Arg]
) -> Call[SessionEntry | None]:
    """Return a call that is answered with the session, or with nothing."""
    home, key = context.home(session_key)
    entry = home.entry(key)
    return Call(script, (home.prefix, entry), tuple(args), entry_of(key, entry))


def _flag_call(
    context: Context, script: str, session_key: object, args: Sequence[Arg]
) -> Call[bool]:
    home, key = context.home(session_key)
    return Call(script, (home.prefix, home.entry(key)), tuple(args), as_bool)


def repeatable(context: Context, conditions: Conditions) -> tuple[Arg, ...]:
    """Return what makes a call known when it is repeated, and when it applies."""
    return (new_token(), context.keep_ms, *conditions.args(context))


def get(context: Context, session_key: object) -> Call[SessionEntry | None]:
    """Read one session."""
    return entry_call(context, "get_session", session_key, ())


def session_key_of(context: Context, source: SessionSource, given: SessionKey | None) -> SessionKey:
    """Return the session key of a message, the one given or the one that it has, checked."""
    if not isinstance(source, SessionSource):
        raise InvalidInput("source", f"must be a SessionSource, not {type(source).__name__}")
    if given is not None:
        return context.home(given)[1]
    config = context.config
    built = build_session_key(
        source,
        group_sessions_per_user=config.group_sessions_per_user,
        thread_sessions_per_user=config.thread_sessions_per_user,
    )
    return context.home(built)[1]


def resolve_args(context: Context, source: SessionSource, now: datetime) -> tuple[Arg, ...]:
    """Return what a script needs to resolve a session: who asks, when to reset, a new entry."""
    config = context.config
    fields = encode_new(source)
    check_size(fields, config.max_entry_bytes)
    return (
        config.replica,
        int(config.resume_freshness_window * 1000),
        config.reset_rules.script_text_for(source.platform, source.chat_type, now),
        *flatten(fields.items()),
    )


def get_or_create(
    context: Context,
    source: SessionSource,
    *,
    force_new: bool,
    session_key: SessionKey | None = None,
) -> Call[SessionEntry]:
    """Resolve the session of a message."""
    key = session_key_of(context, source, session_key)
    home = context.space.partition_of(key)
    now = context.now()
    args = (
        new_session_id(now),
        "1" if force_new else "",
        context.keep_ms,
        *resolve_args(context, source, now),
    )
    entry = home.entry(key)

    def decode(reply: Hash) -> SessionEntry:
        return decode_entry(key, entry, reply)

    return Call("get_or_create_session", (home.prefix, entry), args, decode, creates=True)


def update(
    context: Context,
    session_key: object,
    last_prompt_tokens: int | None,
    counters: Counters,
    conditions: Conditions,
) -> Call[SessionEntry | None]:
    """Record activity and add to counters."""
    args = (
        *repeatable(context, conditions),
        context.config.replica,
        *counter_args(context, last_prompt_tokens, counters),
    )
    return entry_call(context, "update_session", session_key, args)


def suspend(context: Context, session_key: object, conditions: Conditions) -> Call[bool]:
    """Suspend a session."""
    return _flag_call(context, "suspend_session", session_key, repeatable(context, conditions))


def mark_resume_pending(
    context: Context, session_key: object, reason: str, conditions: Conditions
) -> Call[bool]:
    """Mark a session as interrupted."""
    text = checked_text("reason", reason, max_bytes=LONGEST_REASON)
    args = (text, *repeatable(context, conditions))
    return _flag_call(context, "mark_resume_pending", session_key, args)


def clear_resume_pending(
    context: Context, session_key: object, conditions: Conditions
) -> Call[bool]:
    """Take the mark off."""
    args = repeatable(context, conditions)
    return _flag_call(context, "clear_resume_pending", session_key, args)


def reset(
    context: Context, session_key: object, display_name: str | None, conditions: Conditions
) -> Call[SessionEntry | None]:
    """Start a session anew."""
    name = ""
    if display_name is not None:
        limit = context.config.max_entry_bytes // 2
        name = checked_text("display_name", display_name, max_bytes=limit)
    args = (
        new_session_id(context.now()),
        name,
        *repeatable(context, conditions),
        *rule_args(context),
    )
    return entry_call(context, "reset_session", session_key, args)


def switch(
    context: Context,
    session_key: object,
    session_id: object,
    conditions: Conditions,
    id_home: str = "",
) -> Call[SessionEntry | Literal["share"] | None]:
    """Bind a session key to a given id; ``share``: who has that already is to be marked before.

    ``id_home``: once that was done, where the lock of the id is.
    """
    home, key = context.home(session_key)
    entry = home.entry(key)
    read_entry = entry_of(key, entry)

    def decode(reply: Hash) -> SessionEntry | Literal["share"] | None:
        return "share" if reply == [b"share"] else read_entry(reply)

    args = (
        context.session_id(session_id),
        *repeatable(context, conditions),
        id_home,
        *rule_args(context),
    )
    return Call("switch_session", (home.prefix, entry), args, decode)


def set_model_override(
    context: Context,
    session_key: object,
    override: ModelOverride | Mapping[str, str] | None,
    conditions: Conditions,
) -> Call[bool]:
    """Set or clear the model of a session."""
    fields = {} if override is None else encode_override(checked_override(context, override))
    args = (
        fields.get("override_model", ""),
        fields.get("override_provider", ""),
        fields.get("override_base_url", ""),
        *repeatable(context, conditions),
    )
    return _flag_call(context, "set_model_override", session_key, args)


def checked_override(
    context: Context, override: ModelOverride | Mapping[str, str], field: str = "override"
) -> ModelOverride:
    """Check a model override: what it holds, also that it holds no credential, and its size."""
    given = override.model_dump() if isinstance(override, ModelOverride) else override
    if not isinstance(given, Mapping):
        raise InvalidInput(field, f"must be a mapping, not {type(given).__name__}")
    try:
        checked = ModelOverride.model_validate(dict(given))
    except ValidationError as error:
        # Without pydantic's own text: it repeats the input, which may be a credential.
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join([field, *map(str, first["loc"])])
        raise InvalidInput(where, first["msg"]) from None
    check_size(encode_override(checked), context.config.max_entry_bytes // 4)
    return checked


def delete(context: Context, session_key: object, conditions: Conditions) -> Call[bool]:
    """Delete a session."""
    return _flag_call(context, "delete_session", session_key, repeatable(context, conditions))
