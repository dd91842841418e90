"""A turn that hangs: its session is taken from it, whatever it believes."""

from __future__ import annotations

from redisstore.calls.call import Ask, Call, Context, Steps, as_texts, new_token
from redisstore.calls.locks import unlock_call
from redisstore.keys import SessionId
from redisstore.text import checked_text

_MAX_TOKEN_BYTES = 1024


def revoke(context: Context, session_key: object, token: object, *, handled: bool) -> Steps[bool]:
    """Take a lane from the turn of this token, and the lock of a session id that is shared."""
    home, key = context.home(session_key)
    turn_token = checked_text("token", token, max_bytes=_MAX_TOKEN_BYTES)
    message_ttl_ms = int(context.config.message_id_ttl * 1000) if handled else ""
    args = (new_token(), turn_token, context.keep_ms, message_ttl_ms)
    call = Call("revoke_turn", (home.prefix, home.entry(key)), args, as_texts)
    answers: list[list[str]] = yield Ask([call])
    ((outcome, _, id_home, session_id),) = answers
    if id_home:
        yield Ask([unlock_call(context, SessionId(session_id), key, turn_token)])
    return outcome == "revoked"
