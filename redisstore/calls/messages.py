"""Messages that get no turn of their own."""

from __future__ import annotations

from redisstore.calls.call import Call, Context, HasLease, new_token
from redisstore.text import checked_text


def take(
    context: Context, session_key: object, message_id: str, if_turn: HasLease | None
) -> Call[bool]:
    """Take a message, for the turn that answers it as well, or for good."""
    home, key = context.home(session_key)
    named = checked_text("message_id", message_id, max_bytes=context.config.max_key_bytes)
    turn = "" if if_turn is None else if_turn.lease.proof
    args = (
        named,
        int(context.config.message_id_ttl * 1000),
        new_token(),
        context.keep_ms,
        turn,
    )
    keys = (home.prefix, home.entry(key))
    return Call("take_message", keys, args, lambda reply: reply == b"taken", creates=turn == "")
