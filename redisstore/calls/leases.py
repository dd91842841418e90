"""Leases of turns, once taken: renewed while they run, recovered when they have lapsed."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from redisstore.calls.call import Arg, Ask, Call, Context, Lease, Steps, as_text, chunks
from redisstore.calls.locks import lock_call, unlock_call, unlock_lease
from redisstore.calls.turn_replies import LapsedLock, Locked, Lost, Recovered, read_recovered
from redisstore.fields import from_ms
from redisstore.keys import Partition, SessionId, SessionKey

_LANES_A_CALL = 100
_TURNS_A_CALL = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Renewed:
    """What became of a lease."""

    lapses_at: datetime | None
    """``None`` where it is lost."""
    locked: Lease | None
    """The same with the session id that the turn is on by now, if that has to be locked too."""
    clock: int
    """Microseconds, of the server that has the lane: fences that it gives out later are larger."""


Renewals: TypeAlias = Mapping[Lease, Renewed]


def renew(context: Context, leases: Sequence[Lease]) -> Steps[Mapping[Lease, datetime | None]]:
    """Renew running turns, many a call, and the locks of those whose session id is shared."""
    replies = yield Ask(renewals(context, leases))
    renewed = _merged(replies)
    found = {lease: one.lapses_at for lease, one in renewed.items()}
    shared = {lease: one.locked for lease, one in renewed.items() if one.lapses_at and one.locked}
    if shared:
        answers = yield Ask([lock_call(context, locked) for locked in shared.values()])
        # One that ended, or went on under another id, before it had its lock again would keep that
        # from everybody.
        again = _merged((yield Ask(renewals(context, list(shared)))))
        left = []
        for (lease, locked), answer in zip(shared.items(), answers, strict=True):
            if not again[lease].lapses_at or again[lease].locked != locked:
                left.append(locked)
            elif not isinstance(answer, Locked):
                found[lease] = None
        if left:
            yield Ask([unlock_lease(context, locked) for locked in left])
    return found


def _merged(replies: Sequence[Renewals]) -> Renewals:
    return {lease: one for reply in replies for lease, one in reply.items()}


def renewals(context: Context, leases: Sequence[Lease]) -> list[Call[Renewals]]:
    """Return the calls that renew these leases, a bounded number each."""
    homes = context.space.by_partition(leases, lambda lease: lease.session_key)
    return [
        _renew_call(context, home, some)
        for home, mine in homes.items()
        for some in chunks(mine, _TURNS_A_CALL)
    ]


def _renew_call(context: Context, home: Partition, leases: Sequence[Lease]) -> Call[Renewals]:
    def decode(reply: Sequence[bytes]) -> Renewals:
        clock, *found = reply
        answers = zip(found[::3], found[1::3], found[2::3], strict=True)
        return {
            lease: Renewed(
                None if lapses == b"lost" else from_ms(int(lapses)),
                replace(lease, session_id=SessionId(as_text(on))) if id_home else None,
                int(clock),
            )
            for lease, (lapses, on, id_home) in zip(leases, answers, strict=True)
        }

    args: list[Arg] = [int(context.config.turn_lease_ttl * 1000)]
    for one in leases:
        args += [one.session_key, one.token, one.fence, one.lock_fence]
    return Call("renew_turns", (home.prefix, home.turns), tuple(args), decode)


def recover_lane(
    context: Context,
    session_key: SessionKey,
    revoked: str = "",
    revoked_id: SessionId | Literal[""] = "",
) -> Generator[Ask, Any, None]:
    """Look after one lane: its turn, if that lapsed, and who waits for it.

    The lane is also taken from a turn that is ``revoked``, but only if it is on that session id.
    """
    home = context.space.partition_of(session_key)
    (recovered,) = yield Ask([_recover_call(context, home, session_key, revoked, revoked_id)])
    yield from _unlock_lost(context, recovered.lost)


def recover(context: Context, home: Partition) -> Generator[Ask, Any, Recovered]:
    """Look after the turns and locks of a partition that have lapsed, a bounded number of them."""
    recovered: Recovered
    (recovered,) = yield Ask([_recover_call(context, home)])
    yield from _unlock_lost(context, recovered.lost)
    yield from _drop_locks(context, recovered.lapsed_locks)
    return recovered


def recover_all(context: Context) -> Steps[list[Lost]]:
    """Look after the lapsed turns of all partitions, one call each where few are lost."""
    homes: Sequence[Partition] = context.space.partitions
    lost: list[Lost] = []
    locks: dict[SessionId, LapsedLock] = {}
    while homes:
        found = yield Ask([_recover_call(context, home) for home in homes])
        lost += [turn for recovered in found for turn in recovered.lost]
        locks.update({lock.session_id: lock for one in found for lock in one.lapsed_locks})
        homes = [home for home, one in zip(homes, found, strict=True) if one.more]
    yield from _unlock_lost(context, lost)
    yield from _drop_locks(context, list(locks.values()))
    return lost


def _recover_call(
    context: Context,
    home: Partition,
    session_key: str = "",
    revoked: str = "",
    revoked_id: str = "",
) -> Call[Recovered]:
    limit = context.config.suspend_after_interruptions
    args = (_LANES_A_CALL, limit, session_key, revoked, revoked_id)
    return Call("recover_turns", (home.prefix, home.turns), args, read_recovered)


def _unlock_lost(context: Context, lost: Sequence[Lost]) -> Generator[Ask, Any, None]:
    for turn in lost:
        _log.warning("%s", turn)
    shared = [turn for turn in lost if turn.id_home]
    if shared:
        yield Ask([unlock_call(context, t.session_id, t.session_key, t.token) for t in shared])


def _drop_locks(context: Context, locks: Sequence[LapsedLock]) -> Generator[Ask, Any, None]:
    """Give locks of session ids that have lapsed to who waits for them, or to nobody.

    One whose turn runs on that id is left: it was late to renew the lock. Who waits for it takes it
    from that turn.
    """
    held = [lock for lock in locks if lock.session_key]
    if held:
        # A conversation that was about to go on under the id does not rely on the lock from now on.
        space = context.space
        found = yield Ask(
            [
                _recover_call(
                    context, space.partition_of(lock.session_key), lock.session_key, lock.token
                )
                for lock in held
            ]
        )
        yield from _unlock_lost(context, [turn for one in found for turn in one.lost])
        on = yield Ask([_turn_call(context, lock.session_key) for lock in held])
        runs = {
            lock
            for lock, turn in zip(held, on, strict=True)
            if turn == (lock.token, lock.session_id)
        }
        locks = [lock for lock in locks if lock not in runs]
    if locks:
        yield Ask([_drop_call(context, lock) for lock in locks])


def _drop_call(context: Context, lock: LapsedLock) -> Call[bool]:
    """Its turn may have taken it again by now; then it keeps it."""
    return unlock_call(context, lock.session_id, lock.session_key, lock.token, if_lapsed=True)


def _turn_call(context: Context, session_key: SessionKey) -> Call[tuple[str, str]]:
    home = context.space.partition_of(session_key)
    keys = (home.prefix, home.turn(session_key))

    def decode(reply: Sequence[bytes]) -> tuple[str, str]:
        token, session_id = reply
        return as_text(token), as_text(session_id)

    return Call("get_turn", keys, (), decode)
