"""Every operation of both stores, as one table.

Each is written once, for `SessionStore`; `tests.faces` lets the asyncio store be called alike.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from redisstore import AsyncTurn, DuplicateMessage, SessionId, SessionKey, SessionStore
from tests.faults.operation import Operation, each_of, every, reading, stored_and_counted
from tests.processes.lanes import key_of, source_of, unused_since

__all__ = ["LANES", "OPERATIONS", "OPERATIONS_THAT_WRITE", "Operation", "furnish"]

LANES = ("1", "2", "3")
KEY = key_of("1")
OTHER = key_of("2")
ID = SessionId("20260101_000000_0123456789ab")
PAST = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HANDLED = {"m-1": datetime(2100, 1, 1, tzinfo=UTC)}
OLD, OLDER = unused_since("old", PAST), unused_since("older", PAST - DAY)


def furnish(store: SessionStore) -> None:
    """Give an empty store some sessions."""
    for name in LANES:
        store.get_or_create_session(source_of(name))
        store.update_session(key_of(name), 5, input_tokens=7)


def _mark_and_bind(partitions: int) -> int:
    """In several partitions the first bind is refused: whoever has the id is marked, and again."""
    return 1 if partitions == 1 else 2 * partitions + 2


_running: dict[str, Any] = {"turn": None}
"""The turn that `_mid_turn` has begun."""


def _mid_turn(store: SessionStore) -> None:
    turn: Any = store.turn(source_of("1"), "m-1")
    turn.__enter__()
    turn._register.forget(turn._state)  # nobody renews it: that would be a call more
    _running["turn"] = turn


def _token() -> str:
    """The token of that turn; where none was begun, one that nobody has."""
    return _running["turn"].token if _running["turn"] else "nobody/0/1"


def _handle(store: SessionStore, session_key: SessionKey | None = None) -> object:
    turn: Any = store.turn(source_of("1"), "m-1", session_key=session_key)
    if isinstance(turn, AsyncTurn):  # undressed, where tasks are what is tested
        return _handled(turn)
    with turn:
        return turn.end(9, output_tokens=3)


async def _handled(turn: AsyncTurn) -> object:
    async with turn:
        return await turn.end(9, output_tokens=3)


def _give_up(store: SessionStore) -> object:
    turn: Any = store.turn(source_of("1"), "m-1")
    if isinstance(turn, AsyncTurn):
        return _given_up(turn)
    with turn:
        turn.give_up()
    return turn.ended


async def _given_up(turn: AsyncTurn) -> object:
    async with turn:
        await turn.give_up()
    return turn.ended


def _handle_again(store: SessionStore) -> object:
    try:
        return _handle(store)
    except DuplicateMessage as known:
        return known.state


def _kinds(events: Any) -> object:
    if isinstance(events, AsyncIterator):
        return (event.kind async for event in events)
    return (event.kind for event in events)


def _held(store: SessionStore) -> None:
    store.take_hold(KEY, "p")
    store.take_hold(OTHER, "q")


def _old(store: SessionStore) -> None:
    list(store.import_sessions([OLD]))


_version = 2
"""Of each lane of a furnished store."""

OPERATIONS: Sequence[Operation] = (
    reading("get_session", lambda s: s.get_session(KEY)),
    reading("get_session unknown", lambda s: s.get_session(key_of("none"))),
    Operation("get_or_create_session, new", lambda s: s.get_or_create_session(source_of("new"))),
    Operation("get_or_create_session, touched", lambda s: s.get_or_create_session(source_of("1"))),
    Operation(
        "get_or_create_session, reset",
        lambda s: s.get_or_create_session(source_of("1")),
        lambda s: s.suspend_session(KEY),
    ),
    Operation(
        "get_or_create_session, forced",
        lambda s: s.get_or_create_session(source_of("1"), force_new=True),
    ),
    Operation(
        "get_or_create_session, own key",
        lambda s: s.get_or_create_session(source_of("1"), session_key=key_of("own")),
    ),
    Operation(
        "update_session",
        lambda s: s.update_session(
            KEY, 9, input_tokens=1, output_tokens=2, estimated_cost_usd="0.25"
        ),
    ),
    Operation(
        "update_session, if_version",
        lambda s: s.update_session(KEY, output_tokens=2, if_version=_version),
    ),
    Operation("update_session, unknown", lambda s: s.update_session(key_of("none"), 9)),
    Operation("suspend_session", lambda s: s.suspend_session(KEY, if_version=_version)),
    Operation(
        "mark_resume_pending", lambda s: s.mark_resume_pending(KEY, "why", if_version=_version)
    ),
    Operation(
        "clear_resume_pending",
        lambda s: s.clear_resume_pending(KEY, if_version=_version + 1),
        lambda s: s.mark_resume_pending(KEY),
    ),
    Operation("reset_session", lambda s: s.reset_session(KEY, "name")),
    Operation("reset_session, if_version", lambda s: s.reset_session(KEY, if_version=_version)),
    Operation("switch_session", lambda s: s.switch_session(KEY, ID), calls=_mark_and_bind),
    Operation(
        "switch_session, if_version",
        lambda s: s.switch_session(KEY, ID, if_version=_version),
        calls=_mark_and_bind,
    ),
    Operation(
        "amend_session",
        lambda s: s.amend_session(
            KEY, {"display_name": "name", "total_tokens": 1, "expiry_finalized": True}
        ),
    ),
    Operation(
        "amend_session, if_version",
        lambda s: s.amend_session(KEY, {"input_tokens": 0}, if_version=_version),
    ),
    Operation(
        "amend_session, another id",
        lambda s: s.amend_session(KEY, {"session_id": ID}, if_version=_version),
        calls=_mark_and_bind,
    ),
    Operation(
        "amend_session, another id in mid-turn",
        lambda s: s.amend_session(KEY, {"session_id": ID}),
        _mid_turn,
        # A turn that goes on under an id that may be shared has its lock before.
        calls=lambda partitions: _mark_and_bind(partitions) + 4 * (partitions > 1),
    ),
    Operation("turn", _handle, calls=lambda _: 2),
    Operation("turn, own key", lambda s: _handle(s, OTHER), calls=lambda _: 2),
    Operation("turn, given up", _give_up, calls=lambda _: 2),
    Operation("turn, known message", _handle_again, _handle),
    Operation("take_message", lambda s: s.take_message(KEY, "m-2")),
    Operation(
        "take_message, by a turn",
        lambda s: s.take_message(KEY, "m-2", if_turn=_running["turn"]),
        _mid_turn,
    ),
    Operation("take_message, known", lambda s: s.take_message(KEY, "m-1"), _handle),
    reading("handled_messages", lambda s: s.handled_messages(KEY), before=_handle),
    reading("list_turns", lambda s: s.list_turns(), streams=True, calls=every),
    Operation(
        "revoke_turn",
        lambda s: s.revoke_turn(KEY, _token()),
        _mid_turn,
    ),
    Operation(
        "revoke_turn, handled",
        lambda s: s.revoke_turn(KEY, _token(), handled=True),
        _mid_turn,
    ),
    Operation("recover_turns", lambda s: s.recover_turns(), calls=every),
    Operation(
        "set_model_override",
        lambda s: s.set_model_override(KEY, {"model": "m"}, if_version=_version),
    ),
    reading(
        "get_model_override",
        lambda s: s.get_model_override(KEY),
        before=lambda s: s.set_model_override(KEY, {"model": "m"}),
    ),
    Operation("delete_session", lambda s: s.delete_session(KEY, if_version=_version), _held),
    Operation("take_hold", lambda s: s.take_hold(KEY, "p")),
    Operation("take_hold, taken", lambda s: s.take_hold(KEY, "p"), _held),
    Operation("release_hold", lambda s: s.release_hold(KEY, "p"), _held),
    Operation(
        "renew_holds",
        lambda s: s.renew_holds([(KEY, "p"), (OTHER, "q"), (key_of("none"), "r")]),
        _held,
        calls=each_of(KEY, OTHER, key_of("none")),
    ),
    reading("list_holds", lambda s: s.list_holds(KEY), before=_held),
    reading("list_sessions", lambda s: s.list_sessions(), streams=True, calls=every),
    reading(
        "export_sessions",
        lambda s: s.export_sessions(),
        before=_handle,
        streams=True,
        calls=lambda partitions: partitions + each_of(*map(key_of, LANES))(partitions),
    ),
    reading(
        "lookup_by_session_id",
        lambda s: s.lookup_by_session_id(ID),
        before=lambda s: s.switch_session(KEY, ID),
        calls=every,
    ),
    reading("count", lambda s: s.count(), calls=every),
    reading("count_sessions", lambda s: s.count_sessions(), calls=every),
    reading("has_any_sessions", lambda s: s.has_any_sessions(), calls=every),
    Operation(
        "prune_old_entries", lambda s: s.prune_old_entries(before=PAST + DAY), _old, calls=every
    ),
    reading(
        "prune_old_entries, dry_run",
        lambda s: s.prune_old_entries(before=PAST + DAY, dry_run=True),
        before=_old,
        calls=every,
    ),
    Operation(
        "suspend_recently_active",
        lambda s: s.suspend_recently_active(),
        calls=lambda partitions: 1 + partitions,
    ),
    reading(
        "events",
        lambda s: _kinds(s.events(since="oldest", idle_timeout=0)),
        streams=True,
        calls=lambda partitions: 2 * partitions,
    ),
    reading("list_event_groups", lambda s: s.list_event_groups(), calls=every),
    reading("list_replicas", lambda s: s.list_replicas(), streams=True),
    Operation(
        "import_sessions",
        lambda s: s.import_sessions([OLD, OLDER]),
        streams=True,
        calls=stored_and_counted(OLD.session_key, OLDER.session_key),
    ),
    Operation(
        "import_sessions, repeated",
        lambda s: s.import_sessions([OLD]),
        _old,
        streams=True,
        calls=stored_and_counted(OLD.session_key),
    ),
    Operation(
        "import_sessions, with what it has handled",
        lambda s: s.import_sessions([OLD], handled={OLD.session_key: HANDLED}),
        streams=True,
        calls=lambda partitions: 1 + stored_and_counted(OLD.session_key)(partitions),
    ),
)
"""All but `audit`, `drop` and `list_servers`, which are not made of script calls alone."""

OPERATIONS_THAT_WRITE = tuple(operation for operation in OPERATIONS if operation.writes)
