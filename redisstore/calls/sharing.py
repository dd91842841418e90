"""Binding a lane to a session id that other lanes may be bound to, in any partition.

The order is what makes it safe. First all lanes that are bound to the id are marked, so that from
then on their turns lock the id too. A turn of theirs that runs already gets the lock. Only then is
the lane bound, and its own next turn finds the lock taken. Whether anybody has to be marked, the
script that binds says itself: what is looked at before may be another by then.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from redisstore.calls import sessions
from redisstore.calls.call import Ask, Call, Conditions, Context, Lease, Steps, one
from redisstore.calls.leases import recover_lane
from redisstore.calls.locks import lock_call, unlock_lease
from redisstore.calls.turn_replies import Locked, LockLapsed
from redisstore.entry import SessionEntry
from redisstore.keys import Partition, SessionId, SessionKey

Bound: TypeAlias = SessionEntry | Literal["share"] | None
"""The session that was bound, or none, or that nothing was bound: others are to be marked first."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """What marking the lanes of a partition has found."""

    fence: int
    """No larger one was given out there."""
    running: dict[Lease, bool]
    """The turns that run on the id, and whether they had no lock until then."""


def switch(
    context: Context, session_key: object, session_id: object, conditions: Conditions
) -> Steps[SessionEntry | None]:
    """Bind a lane; one script does it, where nobody else may be bound to the id."""
    wanted = context.session_id(session_id)
    return bind(
        context,
        wanted,
        lambda id_home: one(sessions.switch(context, session_key, wanted, conditions, id_home)),
    )


def bind(
    context: Context, session_id: SessionId, binding: Callable[[str], Steps[Bound]]
) -> Steps[SessionEntry | None]:
    """Bind by these steps, which are told where the lock of the id is once all are marked."""
    # What they are made from is checked here, before anything is sent.
    return _bind(context, session_id, binding(""), binding)


def _bind(
    context: Context,
    session_id: SessionId,
    first: Steps[Bound],
    binding: Callable[[str], Steps[Bound]],
) -> Steps[SessionEntry | None]:
    bound, marked = (yield from first), False
    while isinstance(bound, str):
        yield from share(context, session_id)
        bound, marked = (yield from binding(context.space.home_of_id(session_id).prefix)), True
    if marked and bound is not None and context.space.partition_count > 1:
        # An import into another partition, that has seen nobody, may have come between.
        yield from share(context, session_id)
    return bound


def share(context: Context, session_id: SessionId) -> Generator[Ask, Any, None]:
    """Have the turns of all lanes that are bound to an id exclude one another from now on."""
    homes, home_of_id = context.space.partitions, context.space.home_of_id(session_id)
    replies: list[_Shared] = yield Ask([_share_call(context, home, session_id) for home in homes])
    if len(homes) == 1:
        return  # The script has given the lock to a turn that runs.
    # Fences of an id go on from the largest that was given out, by whichever clock.
    largest = max(shared.fence for shared in replies)
    if replies[home_of_id.index].fence < largest:
        yield Ask([_share_call(context, home_of_id, session_id, largest)])
    for home, shared in zip(homes, replies, strict=True):
        for lease, had_no_lock in shared.running.items():
            yield from _give_lock(context, lease, had_no_lock=had_no_lock)
            # It may have ended before it had the lock; then nobody else would give that back.
            (again,) = yield Ask([_share_call(context, home, session_id)])
            if lease not in again.running:
                yield Ask([unlock_lease(context, lease)])


def _give_lock(context: Context, lease: Lease, *, had_no_lock: bool) -> Generator[Ask, Any, None]:
    """Give a running turn the lock of its session id; one that can't have it is cut.

    One that was marked before has it, or waits for it.
    """
    revoked = ""
    while True:
        (answer,) = yield Ask([lock_call(context, lease, revoked=revoked)])
        if isinstance(answer, LockLapsed):
            revoked = answer.token
            yield from recover_lane(context, answer.session_key, revoked, lease.session_id)
            continue
        if had_no_lock and not isinstance(answer, Locked):
            yield from recover_lane(context, lease.session_key, lease.token, lease.session_id)
        return


def _share_call(
    context: Context, home: Partition, session_id: SessionId, fence: int = 0
) -> Call[_Shared]:
    def decode(reply: Sequence[bytes]) -> _Shared:
        given_out, *running = reply
        parts = zip(running[::4], running[1::4], running[2::4], running[3::4], strict=True)
        return _Shared(
            int(given_out),
            {
                Lease(SessionKey(key.decode()), token.decode(), int(fenced), session_id): (
                    had_no_lock == b"1"
                )
                for key, token, fenced, had_no_lock in parts
            },
        )

    args = (session_id, context.space.home_of_id(session_id).prefix, fence)
    return Call("share_session_id", (home.prefix, home.updated_at), args, decode)
