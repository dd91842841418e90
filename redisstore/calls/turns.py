"""Turns: their calls, and what takes several calls as steps that a runner carries out.

A turn begins by ``begin_turn``. If it has to wait it begins again, with the same token, whenever it
is woken or the lease that it waits for has lapsed. A session id that several lanes share is locked
too, always after the lane.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

from redisstore.calls.call import (
    Ask,
    Call,
    Context,
    Lease,
    Steps,
    Wait,
    checked_number,
    new_session_id,
    one,
)
from redisstore.calls.counters import Counters, counter_args
from redisstore.calls.leases import Renewed, recover_lane, renewals
from redisstore.calls.locks import lock_call, unlock_call, unlock_lease
from redisstore.calls.sessions import resolve_args, session_key_of
from redisstore.calls.turn_replies import (
    Abandoned,
    Answer,
    Ended,
    Known,
    Locked,
    LockLapsed,
    Running,
    Taken,
    read_abandoned,
    read_answer,
    read_ended,
)
from redisstore.errors import DuplicateMessage, TurnBusy, TurnLost
from redisstore.keys import SessionId, SessionKey
from redisstore.source import SessionSource
from redisstore.text import checked_text

CLAIM_SECONDS = 2.0
"""How long a waiting turn may take to claim the lane it was given; the scripts know it too."""

LOOK_SLACK = 0.05
"""Seconds after that time at which one looks whether it was claimed."""

_LONGEST_WAIT = 86_400.0
_SLACK = 0.02
"""Seconds after a lease has lapsed at which one looks: the scripts count in milliseconds."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A turn to begin: checked, and with the names that it keeps through all attempts."""

    source: SessionSource
    session_key: SessionKey
    message_id: str
    wait: float
    token: str
    proposed_id: SessionId


def request(
    context: Context,
    source: SessionSource,
    message_id: str | None,
    wait: float | None,
    session_key: SessionKey | None = None,
) -> Request:
    """Check what is asked for. ``wait``: seconds, ``None`` for the configured bound."""
    key, now = session_key_of(context, source, session_key), context.now()
    resolve_args(context, source, now)
    named = ""
    if message_id is not None:
        named = checked_text("message_id", message_id, max_bytes=context.config.max_key_bytes)
    seconds = context.config.turn_wait if wait is None else wait
    checked_number("wait", seconds, lowest=0, highest=_LONGEST_WAIT, unit="seconds")
    token = f"{context.process}/{secrets.token_hex(8)}"
    return Request(source, key, named, seconds, token, new_session_id(now))


def _begin(context: Context, wanted: Request) -> Call[Answer]:
    config, home = context.config, context.space.partition_of(wanted.session_key)
    entry = home.entry(wanted.session_key)
    replica, freshness, policy, *fields = resolve_args(context, wanted.source, context.now())
    args = (
        wanted.token,
        wanted.message_id,
        int(config.turn_lease_ttl * 1000),
        config.turn_queue_limit if wanted.wait else 0,
        wanted.proposed_id,
        replica,
        freshness,
        policy,
        *fields,
    )
    return Call(
        "begin_turn",
        (home.prefix, entry),
        args,
        lambda reply: read_answer(wanted.session_key, entry, reply),
        creates=True,
    )


def begin(
    context: Context, wanted: Request, clock: Callable[[], float] = time.monotonic
) -> Steps[tuple[Running, float]]:
    """Begin a turn, or wait until it can begin; with it, the time at which its lease was asked for.

    Raises ``DuplicateMessage``, ``TurnBusy``, or ``TurnLost`` where it was given up meanwhile.
    """
    until = clock() + wanted.wait
    home = context.space.partition_of(wanted.session_key)
    roll_called = False
    while True:
        asked_at = clock()
        (answer,) = yield Ask([_begin(context, wanted)])
        if isinstance(answer, Running):
            if answer.id_home:
                return (yield from _lock(context, wanted, answer, until, clock))
            return answer, asked_at
        if not roll_called and _perhaps_of_the_dead(answer):
            # Those who don't answer are dropped: now, or when they have had the time to.
            roll_called = True
            yield from recover_lane(context, wanted.session_key)
        elif isinstance(answer, Known):
            raise DuplicateMessage(wanted.message_id, answer.state, answer.at, answer.replica)
        elif answer == "ended":
            raise TurnLost(f"the turn on {wanted.session_key} was given up before it began")
        elif answer == "lapsed":
            yield from recover_lane(context, wanted.session_key)
        elif answer.kind != "waiting":
            raise _busy(wanted, answer)
        elif clock() >= until:
            yield from give_up(context, wanted)
            raise _busy(wanted, answer)
        else:
            yield Wait(home.wake(wanted.token), _wait(answer, until - clock()))


def _perhaps_of_the_dead(answer: Answer) -> bool:
    """Whether the dead, who still stand in line, may be all that is in the way."""
    if isinstance(answer, Known):
        return answer.state == "waiting"
    return isinstance(answer, Taken) and answer.kind == "full"


def _wait(taken: Taken, patience: float) -> float:
    return max(min(taken.seconds + _SLACK, patience), 0.001)


def _busy(wanted: Request, taken: Taken) -> TurnBusy:
    return TurnBusy(
        wanted.session_key, taken.replica, taken.lapses_at, queue_full=taken.kind == "full"
    )


def _lock(
    context: Context, wanted: Request, running: Running, until: float, clock: Callable[[], float]
) -> Steps[tuple[Running, float]]:
    """Lock the session id of a turn that has its lane; while it waits, the lane is renewed."""
    lease, revoked = lease_of(wanted, running), ""
    limit = context.config.turn_queue_limit if wanted.wait else 0
    while True:
        asked_at = clock()
        lock = lock_call(context, lease, limit=limit, revoked=revoked)
        # The lock first: where one server has both, its clock has then gone past the fence.
        answer, renewed = yield Ask([lock, *renewals(context, [lease])])
        now = renewed[lease]
        if now.lapses_at is None or now.locked != lease:
            again = yield from _elsewhere(context, wanted, lease, now)
            if now.locked is None and again is not None:
                return again, asked_at
            if now.locked is not None and again is not None:
                running, lease, revoked = again, now.locked, ""
            continue
        if isinstance(answer, Locked):
            running = replace(running, session_fence=answer.fence)
            if answer.fence > renewed[lease].clock and not _is_at_home(context, lease):
                # The lane's own fences are smaller, by its clock: they have to go on from this.
                yield Ask(renewals(context, [lease_of(wanted, running)]))
            return running, asked_at
        if isinstance(answer, LockLapsed):
            # Its holder must be refused in its own partition before the lock is another's.
            yield from recover_lane(context, answer.session_key, answer.token, lease.session_id)
            revoked = answer.token
        elif answer.kind != "waiting" or clock() >= until:
            yield Ask([unlock_lease(context, lease)])
            yield from give_up(context, wanted)
            raise _busy(wanted, answer)
        else:
            patience = min(until - clock(), context.config.turn_lease_ttl / 3)
            home = context.space.home_of_id(lease.session_id)
            yield Wait(home.wake(wanted.token), _wait(answer, patience))


def _is_at_home(context: Context, lease: Lease) -> bool:
    space = context.space
    return space.home_of_id(lease.session_id) == space.partition_of(lease.session_key)


def _elsewhere(
    context: Context, wanted: Request, lease: Lease, now: Renewed
) -> Generator[Ask, Any, Running | None]:
    """Leave the line for a session id that the lane has gone on without, and see where it is now.

    ``None``: it is to be asked once more. Raises ``TurnLost`` where the turn has no lane any more.
    """
    yield Ask([unlock_lease(context, lease)])
    if now.lapses_at is None:
        raise TurnLost(f"the turn lost {wanted.session_key} while it waited for its session")
    answer: Answer
    (answer,) = yield Ask([_begin(context, wanted)])
    return answer if isinstance(answer, Running) else None


def lease_of(wanted: Request, running: Running) -> Lease:
    """Return what a turn has from its begin on."""
    lock_fence = running.session_fence if running.session_fence != running.fence else 0
    return Lease(
        wanted.session_key, wanted.token, running.fence, running.entry.session_id, lock_fence
    )


def end(
    context: Context, lease: Lease, last_prompt_tokens: int | None, counters: Counters
) -> Steps[Ended]:
    """End a turn well. ``TurnLost`` where it had lost its lane."""
    config, home = context.config, context.space.partition_of(lease.session_key)
    entry = home.entry(lease.session_key)
    args = (
        lease.token,
        lease.fence,
        context.keep_ms,
        int(config.message_id_ttl * 1000),
        *counter_args(context, last_prompt_tokens, counters),
    )
    call: Call[Ended] = Call(
        "end_turn",
        (home.prefix, entry),
        args,
        lambda reply: read_ended(lease.session_key, entry, reply),
    )
    ended = yield from one(call)
    if ended.id_home:
        yield Ask([unlock_call(context, ended.session_id, lease.session_key, lease.token)])
    return ended


def give_up(
    context: Context, wanted: Request, reason: str = "", *, wake: bool = False
) -> Steps[Abandoned]:
    """Give a turn up, whatever it is at, and wake it if asked, in case it waits.

    With a reason, the session of a running one is marked as interrupted.
    """
    key = wanted.session_key
    home = context.space.partition_of(key)
    args = (wanted.token, wanted.message_id, context.keep_ms, reason, "1" if wake else "")
    call = Call("abandon_turn", (home.prefix, home.entry(key)), args, read_abandoned)
    abandoned = yield from one(call)
    if abandoned.id_home:
        yield Ask([unlock_call(context, abandoned.session_id, key, wanted.token)])
    return abandoned
