"""Leases of turns, once taken: renewed while they run, recovered when they have lapsed."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from redisstore.calls.call import Ask, Call, Context, Lease, Steps, as_text
from redisstore.calls.locks import lock_call, unlock_call
from redisstore.calls.turn_replies import Locked, Lost, Recovered, read_recovered
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
            yield Ask([unlock_call(context, t.session_id, t.session_key, t.token) for t in left])
    return found


def _merged(replies: Sequence[Renewals]) -> Renewals:
    return {lease: one for reply in replies for lease, one in reply.items()}


def renewals(context: Context, leases: Sequence[Lease]) -> list[Call[Renewals]]:
    """Return the calls that renew these leases, a bounded number each."""
    calls = []
    lease_ms = int(context.config.turn_lease_ttl * 1000)
    pairs = ((lease.session_key, lease) for lease in leases)
    for home, mine in context.space.by_partition(pairs).items():
        for start in range(0, len(mine), _TURNS_A_CALL):
            some = [lease for _, lease in mine[start : start + _TURNS_A_CALL]]

            def decode(reply: Sequence[bytes], some: Sequence[Lease] = some) -> Renewals:
                answers = zip(reply[::3], reply[1::3], reply[2::3], strict=True)
                return {
                    lease: Renewed(
                        None if lapses == b"lost" else from_ms(int(lapses)),
                        replace(lease, session_id=SessionId(as_text(on))) if id_home else None,
                    )
                    for lease, (lapses, on, id_home) in zip(some, answers, strict=True)
                }

            args = [part for one in some for part in (one.session_key, one.token, one.fence)]
            keys = (home.prefix, home.turns)
            calls.append(Call("renew_turns", keys, (lease_ms, *args), decode))
    return calls


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


def recover(context: Context, home: Partition) -> Steps[Recovered]:
    """Look after the turns of a partition that have lapsed, a bounded number of them."""
    (recovered,) = yield Ask([_recover_call(context, home)])
    yield from _unlock_lost(context, recovered.lost)
    found: Recovered = recovered
    return found


def recover_all(context: Context) -> Steps[list[Lost]]:
    """Look after the lapsed turns of all partitions, one call each where few are lost."""
    homes: Sequence[Partition] = context.space.partitions
    lost: list[Lost] = []
    while homes:
        found = yield Ask([_recover_call(context, home) for home in homes])
        lost += [turn for recovered in found for turn in recovered.lost]
        homes = [home for home, one in zip(homes, found, strict=True) if one.more]
    yield from _unlock_lost(context, lost)
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
