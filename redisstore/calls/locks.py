"""The lock of a session id that several lanes share: it lives where the id says, not the lane."""

from __future__ import annotations

from redisstore.calls.call import Call, Context, Lease, as_bool
from redisstore.calls.turn_replies import Locked, LockLapsed, Taken, read_lock
from redisstore.keys import SessionId, SessionKey


def lock_call(
    context: Context, lease: Lease, *, limit: int = 0, revoked: str = ""
) -> Call[Locked | LockLapsed | Taken]:
    """Take or renew the lock of a turn's session id, or the place in line for it."""
    home = context.space.home_of_id(lease.session_id)
    lease_ms = int(context.config.turn_lease_ttl * 1000)
    args = (lease.token, lease.session_key, lease_ms, limit, lease.fence, revoked)
    return Call("lock_session_id", (home.prefix, home.lock(lease.session_id)), args, read_lock)


def unlock_lease(context: Context, lease: Lease) -> Call[bool]:
    """Give up the lock of the session id that a lease is for, or the place in line for it."""
    return unlock_call(context, lease.session_id, lease.session_key, lease.token)


def unlock_call(
    context: Context,
    session_id: SessionId,
    session_key: SessionKey,
    token: str,
    *,
    if_lapsed: bool = False,
) -> Call[bool]:
    """Give the lock of a session id up, or the place in line for it."""
    home = context.space.home_of_id(session_id)
    keys = (home.prefix, home.lock(session_id))
    args = (token, session_key, "1" if if_lapsed else "")
    return Call("unlock_session_id", keys, args, as_bool)
