"""Leases of turns, once taken: renewed while they run, recovered when they have lapsed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from redisstore.calls.call import Ask, Call, Context, Lease, Steps
from redisstore.calls.locks import lock_call, unlock_call
from redisstore.calls.turn_replies import Locked, Lost, Recovered, read_recovered
from redisstore.fields import from_ms
from redisstore.keys import Partition, SessionKey

_LANES_A_CALL = 100
_TURNS_A_CALL = 200
_log = logging.getLogger(__name__)

Renewals: TypeAlias = Mapping[Lease, tuple[datetime | None, str]]
"""When each lease lapses, ``None`` where it is lost, and where its session id is locked."""


def renew(context: Context, leases: Sequence[Lease]) -> Steps[Mapping[Lease, datetime | None]]:
    """Renew running turns, many a call, and the locks of those whose session id is shared."""
    replies = yield Ask(renewals(context, leases))
    renewed: dict[Lease, tuple[datetime | None, str]] = {}
    for reply in replies:
        renewed.update(reply)
    found = {lease: lapses_at for lease, (lapses_at, _) in renewed.items()}
    shared = [lease for lease, (lapses_at, id_home) in renewed.items() if lapses_at and id_home]
    if shared:
        answers = yield Ask([lock_call(context, lease) for lease in shared])
        for lease, answer in zip(shared, answers, strict=True):
            if not isinstance(answer, Locked):
                found[lease] = None
        # One that ended before it had its lock again would keep it from everybody.
        again = yield Ask(renewals(context, shared))
        ended = [
            lease for reply in again for lease, (lapses_at, _) in reply.items() if not lapses_at
        ]
        if ended:
            yield Ask(
                [unlock_call(context, one.session_id, one.session_key, one.token) for one in ended]
            )
    return found


def renewals(context: Context, leases: Sequence[Lease]) -> list[Call[Renewals]]:
    """Return the calls that renew these leases, a bounded number each."""
    calls = []
    lease_ms = int(context.config.turn_lease_ttl * 1000)
    pairs = ((lease.session_key, lease) for lease in leases)
    for home, mine in context.space.by_partition(pairs).items():
        for start in range(0, len(mine), _TURNS_A_CALL):
            some = [lease for _, lease in mine[start : start + _TURNS_A_CALL]]

            def decode(reply: Sequence[bytes], some: Sequence[Lease] = some) -> Renewals:
                return {
                    lease: (None if lapses == b"lost" else from_ms(int(lapses)), id_home.decode())
                    for lease, lapses, id_home in zip(some, reply[::2], reply[1::2], strict=True)
                }

            args = [part for one in some for part in (one.session_key, one.token, one.fence)]
            keys = (home.prefix, home.turns)
            calls.append(Call("renew_turns", keys, (lease_ms, *args), decode))
    return calls


def recover_lane(context: Context, session_key: SessionKey, revoked: str = "") -> Steps[None]:
    """Look after one lane: its turn, if that lapsed or is ``revoked``, and who waits for it."""
    home = context.space.partition_of(session_key)
    (recovered,) = yield Ask([_recover_call(context, home, session_key, revoked)])
    yield from _unlock_lost(context, recovered.lost)


def recover(context: Context, home: Partition) -> Steps[Recovered]:
    """Look after the turns of a partition that have lapsed, a bounded number of them."""
    (recovered,) = yield Ask([_recover_call(context, home, "", "")])
    yield from _unlock_lost(context, recovered.lost)
    found: Recovered = recovered
    return found


def recover_all(context: Context) -> Steps[list[Lost]]:
    """Look after the lapsed turns of all partitions, one call each where few are lost."""
    homes: Sequence[Partition] = context.space.partitions
    lost: list[Lost] = []
    while homes:
        found = yield Ask([_recover_call(context, home, "", "") for home in homes])
        lost += [turn for recovered in found for turn in recovered.lost]
        homes = [home for home, one in zip(homes, found, strict=True) if one.more]
    yield from _unlock_lost(context, lost)
    return lost


def _recover_call(
    context: Context, home: Partition, session_key: str, revoked: str
) -> Call[Recovered]:
    limit = context.config.suspend_after_interruptions
    args = (_LANES_A_CALL, limit, session_key, revoked)
    return Call("recover_turns", (home.prefix, home.turns), args, read_recovered)


def _unlock_lost(context: Context, lost: Sequence[Lost]) -> Steps[None]:
    for turn in lost:
        _log.warning("%s", turn)
    shared = [turn for turn in lost if turn.id_home]
    if shared:
        yield Ask([unlock_call(context, t.session_id, t.session_key, t.token) for t in shared])
