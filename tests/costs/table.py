"""The operations that are counted: all that the tests of faults know, and what those don't need."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from redisstore import SessionResetPolicy, SessionStore
from redisstore.calls import expiry, replicas
from redisstore.calls.call import one
from redisstore.calls.jobs import JOBS, Worker
from tests.costs.contention import Scene, turn_with_one_waiter
from tests.faults.operations import OPERATIONS, PAST, Operation
from tests.processes.lanes import key_of, source_of, unused_since

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["operations", "settings"]

_MANY = 20
"""So many that a reply still comes in one piece."""
_IMPORTED = 50
_NOBODY = 0, 0

_DAILY = {
    "get_or_create_session, new",
    "get_or_create_session, touched",
    "get_or_create_session, reset",
    "update_session",
    "suspend_session",
    "reset_session",
    "turn",
    "delete_session",
    f"import_sessions of {_IMPORTED}",
    f"prune_old_entries, {_MANY} removed",
    "maintenance: one has expired",
}
"""What does more where sessions have a deadline."""
_ONLY_DAILY = {"maintenance: one has expired"}


def operations(scene: Scene) -> Mapping[str, tuple[str, Operation]]:
    """Return every operation by its name in the file, with the kind of store it is counted in."""
    table = {one.name: one for one in (*OPERATIONS, *_more(scene))}
    named = {name: ("none", it) for name, it in table.items() if name not in _ONLY_DAILY}
    named |= {f"{name}; policy daily": ("daily", table[name]) for name in _DAILY}
    named |= {
        f"{name}; 4 partitions": ("4 partitions", operation)
        for name, operation in table.items()
        if operation.calls(4) > operation.calls(1)
    }
    return dict(sorted(named.items()))


def settings(kind: str) -> Mapping[str, Any]:
    """Return what a kind of store is opened with."""
    # The boundary is half a day away: no run of the tests crosses it.
    at_hour = (datetime.now(UTC).hour + 12) % 24
    kinds: dict[str, Mapping[str, Any]] = {
        "none": {"namespace": "cost-n"},
        "daily": {
            "namespace": "cost-d",
            "default_reset_policy": SessionResetPolicy(mode="daily", at_hour=at_hour),
        },
        "4 partitions": {"namespace": "cost-4", "partitions": 4},
    }
    return kinds[kind]


def _more(scene: Scene) -> list[Operation]:
    def every(partitions: int) -> int:
        return partitions

    return [
        Operation("turn, with one that waits", lambda s: turn_with_one_waiter(s, scene)),
        Operation("turn, no message id", lambda s: _turn(s, None)),
        Operation("turn, updated in the middle", _updated_turn),
        Operation("turn, given up", _given_up_turn),
        Operation("hold_process", _hold),
        Operation("drain", lambda s: s.drain(0)),
        Operation(
            f"renew_holds of {_MANY}",
            lambda s: s.renew_holds([(key_of(f"{n:02}"), "p") for n in range(_MANY)]),
            _hold_many,
        ),
        Operation(
            f"list_sessions of {_MANY}",
            lambda s: s.list_sessions(limit=_MANY),
            _store_many,
            streams=True,
            calls=every,
        ),
        Operation(
            f"prune_old_entries, {_MANY} removed",
            lambda s: s.prune_old_entries(before=datetime(2026, 2, 1, tzinfo=UTC)),
            _store_many,
            calls=every,
        ),
        Operation(
            f"import_sessions of {_IMPORTED}",
            lambda s: s.import_sessions(_unused(_IMPORTED)),
            streams=True,
        ),
        Operation("list_replicas of 1", lambda s: s.list_replicas(), _beat, streams=True),
        Operation("layout", lambda s: s.layout() is not None),
        Operation("audit", lambda s: s.audit(), streams=True),
        Operation("maintenance: heartbeat", _beat),
        Operation("maintenance: job turns", lambda s: _attend(s, "turns"), calls=every),
        Operation("maintenance: job prune", lambda s: _attend(s, "prune"), calls=every),
        Operation("maintenance: nothing has expired", _expired, calls=every),
        Operation("maintenance: one has expired", _finalize, _store_expired),
    ]


def _turn(store: SessionStore, message_id: str | None) -> object:
    with store.turn(source_of("1"), message_id) as turn:
        return turn.end(9, output_tokens=3)


def _updated_turn(store: SessionStore) -> None:
    with store.turn(source_of("1"), "m-1") as turn:
        turn.update(output_tokens=3)


def _given_up_turn(store: SessionStore) -> None:
    with suppress(InterruptedError), store.turn(source_of("1"), "m-1"):
        raise InterruptedError


def _hold(store: SessionStore) -> None:
    hold: Any = store.hold_process(key_of("1"), "p")
    if hasattr(hold, "__aenter__"):
        dressed: Any = store
        dressed._loop.run_until_complete(_hold_in_loop(hold))
        return
    with hold:
        return


async def _hold_in_loop(hold: Any) -> None:
    async with hold:
        return


def _unused(count: int) -> list[Any]:
    return [unused_since(f"{number:02}", PAST) for number in range(count)]


def _store_many(store: SessionStore) -> None:
    for _, verdict in store.import_sessions(_unused(_MANY)):
        assert verdict == "created"


def _hold_many(store: SessionStore) -> None:
    _store_many(store)
    for number in range(_MANY):
        store.take_hold(key_of(f"{number:02}"), "p")


def _beat(store: SessionStore) -> None:
    presence = replicas.Presence()
    # What it tells of the process differs in length from machine to machine.
    with (
        patch("socket.gethostname", return_value="machine"),
        patch("os.getpid", return_value=12345),
        patch("importlib.metadata.version", return_value="0.0.0"),
    ):
        store._complete(lambda c: presence.beat(c, _NOBODY, "up"))


def _attend(store: SessionStore, name: str) -> None:
    (job,) = (job for job in JOBS if job.name == name)
    worker = Worker(job, lambda: False, clock=lambda: 0.0)
    store._complete(worker.attend)


def _expired(store: SessionStore) -> list[expiry.Claim]:
    return store._complete(expiry.claim)


def _store_expired(store: SessionStore) -> None:
    (stored,) = store.import_sessions([unused_since("gone", PAST)])
    assert stored[1] == "created"


def _finalize(store: SessionStore) -> None:
    (claim,) = _expired(store)
    store._complete(lambda c: one(expiry.finish(c, claim, "done")))
