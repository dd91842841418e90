"""Binding a lane to a session id that other lanes may be bound to, in any partition.

The order is what makes it safe. First all lanes that are bound to the id are marked, so that from
then on their turns lock the id too. A turn of theirs that runs already gets the lock. Only then is
the lane bound, and its own next turn finds the lock taken.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from redisstore.calls import sessions
from redisstore.calls.call import Ask, Call, Conditions, Context, Lease, Steps, one
from redisstore.calls.locks import lock_call, unlock_call
from redisstore.entry import SessionEntry
from redisstore.keys import Partition, SessionId, SessionKey


def switch(
    context: Context, session_key: object, session_id: object, conditions: Conditions
) -> Steps[SessionEntry | None]:
    """Bind a lane. In an only partition one script does it all."""
    wanted = context.session_id(session_id)
    return bind(
        context,
        session_key,
        wanted,
        lambda id_home: one(sessions.switch(context, session_key, wanted, conditions, id_home)),
    )


def bind(
    context: Context,
    session_key: object,
    session_id: SessionId | None,
    final: Callable[[str], Steps[SessionEntry | None]],
) -> Steps[SessionEntry | None]:
    """Settle who shares an id, and bind by the steps for where its lock is; ``None``: no id."""
    if session_id is None or context.space.partition_count == 1:
        return final("")
    look = sessions.get(context, session_key)
    last = final(context.space.home_of_id(session_id).prefix)
    return _share_and_bind(context, look, session_id, last)


def _share_and_bind(
    context: Context,
    look: Call[SessionEntry | None],
    session_id: SessionId,
    last: Steps[SessionEntry | None],
) -> Steps[SessionEntry | None]:
    (before,) = yield Ask([look])
    if before is not None and before.session_id != session_id:
        yield from share(context, session_id)
    return (yield from last)


def share(context: Context, session_id: SessionId) -> Generator[Ask, Any, None]:
    """Have the turns of all lanes that are bound to an id exclude one another from now on."""
    homes = context.space.partitions
    replies = yield Ask([_share_call(context, home, session_id) for home in homes])
    for home, running in zip(homes, replies, strict=True):
        for lease in running:
            yield Ask([lock_call(context, lease)])
            # It may have ended before it had the lock; then nobody else would give that back.
            (still,) = yield Ask([_share_call(context, home, session_id)])
            if lease not in still:
                yield Ask([unlock_call(context, lease.session_id, lease.session_key, lease.token)])


def _share_call(context: Context, home: Partition, session_id: SessionId) -> Call[list[Lease]]:
    def decode(reply: Sequence[bytes]) -> list[Lease]:
        return [
            Lease(SessionKey(key.decode()), token.decode(), int(fence), session_id)
            for key, token, fence in zip(reply[::3], reply[1::3], reply[2::3], strict=True)
        ]

    args = (session_id, context.space.home_of_id(session_id).prefix)
    return Call("share_session_id", (home.prefix, home.updated_at), args, decode)
