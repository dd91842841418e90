"""Where a message came from, and the session key that follows from it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from redisstore.keys import SessionKey
from redisstore.text import Identifier, Text, Word


class SessionSource(BaseModel):
    """Where a message came from; stored with the session it opens, as its ``origin``.

    ``chat_type`` is ``"dm"``, ``"group"``, ``"channel"`` or ``"thread"``; platforms that know more
    kinds may use a word of their own. An id that is unknown is left out (``None``), never empty.

    Raises:
        pydantic.ValidationError: a ``ValueError`` that names each field that is wrong.

    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    platform: Word
    chat_id: Identifier | None = None
    chat_name: Text | None = None
    chat_type: Word = "dm"
    user_id: Identifier | None = None
    user_name: Text | None = None
    thread_id: Identifier | None = None
    chat_topic: Text | None = None
    user_id_alt: Identifier | None = None
    chat_id_alt: Identifier | None = None
    is_bot: bool = False
    guild_id: Identifier | None = None
    parent_chat_id: Identifier | None = None
    message_id: Identifier | None = None
    profile: Identifier | None = None
    """Which of several profiles of one gateway it is for."""
    auto_thread_created: bool = False
    """Whether the gateway has opened the thread for it, under a name that it may change."""
    auto_thread_initial_name: Text | None = None


def build_session_key(
    source: SessionSource,
    *,
    group_sessions_per_user: bool = True,
    thread_sessions_per_user: bool = False,
) -> SessionKey:
    """Build the session key of a message, as the reference gateway builds it.

    A direct message has a lane per chat (without a chat id: per participant), and per thread in
    it. Elsewhere the lane is the chat or thread, and each participant's own if
    ``group_sessions_per_user``; in a thread, only if ``thread_sessions_per_user`` too.

    Rules: ``build_session_key`` in hermes-agent 0.19, ``gateway/session.py``.
    """
    participant = source.user_id_alt or source.user_id
    parts: list[str | None]
    if source.chat_type == "dm":
        parts = ["dm", source.chat_id or participant, source.thread_id]
    else:
        per_user = group_sessions_per_user and (thread_sessions_per_user or not source.thread_id)
        parts = [
            source.chat_type,
            source.chat_id,
            source.thread_id,
            participant if per_user else None,
        ]
    return SessionKey(":".join(["agent:main", source.platform, *filter(None, parts)]))
