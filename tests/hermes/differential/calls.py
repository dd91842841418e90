"""How each call is done on a side, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .drawing import Call
from .gateway import Gateway
from .side import Side
from .views import View, by_key, entry_view, newest_first

_SPEAKERS: tuple[Mapping[str, Any], ...] = (
    {"platform": "telegram", "chat_id": "42", "user_id": "7", "user_name": "Ada"},
    {
        "platform": "telegram",
        "chat_id": "-9",
        "user_id": "7",
        "chat_type": "group",
        "chat_name": "G",
    },
    {
        "platform": "slack",
        "chat_id": "C1",
        "user_id": "U1",
        "chat_type": "channel",
        "thread_id": "T",
    },
    {
        "platform": "slack",
        "chat_id": "C1",
        "user_id": "U2",
        "chat_type": "channel",
        "thread_id": "T",
    },
    {"platform": "discord", "chat_id": "5", "user_id": "5", "chat_name": "before", "is_bot": True},
    {
        "platform": "discord",
        "chat_id": "5",
        "user_id": "5",
        "chat_name": "after",
        "message_id": "9",
    },
)
_FIRST_OF_LANE = (0, 1, 2, 4)
_LANE_OF = (0, 1, 2, 2, 3, 3)


def source(gateway: Gateway, speaker: int) -> Any:
    """Return where a message of a speaker comes from."""
    facts = dict(_SPEAKERS[speaker])
    platform = gateway.session.Platform(facts.pop("platform"))
    return gateway.session.SessionSource(platform=platform, **facts)


def key_of(side: Side, lane: int) -> str:
    """Return the session key of a lane."""
    key: str = side.store._generate_session_key(source(side.gateway, _FIRST_OF_LANE[lane]))
    return key


def lane_of(call: Call) -> int:
    """Return the lane that a call is about."""
    return _LANE_OF[call.lane] if call.name == "message" else call.lane


def do(side: Side, call: Call) -> View:
    """Do a call, and return what can be seen of its answer."""
    side.in_step()
    try:
        return _CALLS[call.name](side, call)
    except Exception as failure:  # noqa: BLE001 - whatever is raised is compared
        return {"raised": f"{type(failure).__name__}: {failure}"}


def _hold(side: Side, lane: int, entry: Any) -> View:
    if entry is None:
        side.held.pop(lane, None)
    else:
        side.held[lane] = entry
    return entry_view(side, entry)


def _message(side: Side, call: Call) -> View:
    force_new, speaks = call.args
    entry = side.store.get_or_create_session(source(side.gateway, call.lane), force_new=force_new)
    view = _hold(side, lane_of(call), entry)
    if speaks:
        side.store.append_to_transcript(entry.session_id, _TOLD)
    return view


def _reset(side: Side, call: Call) -> View:
    return _hold(side, call.lane, side.store.reset_session(_key(side, call), *call.args))


def _switch(side: Side, call: Call) -> View:
    entry = side.store.switch_session(_key(side, call), side.id_named(*call.args))
    return _hold(side, call.lane, entry)


def _get(side: Side, call: Call) -> View:
    side.store._ensure_loaded()
    return _hold(side, call.lane, side.store._entries.get(_key(side, call)))


def _change(side: Side, call: Call) -> View:
    field, value, saves = call.args
    entry = side.held.get(call.lane)
    if entry is not None:
        setattr(entry, field, value)
        side.is_dirty = True
        if saves:
            _save(side, call)


def _save(side: Side, _: Call) -> View:
    side.store._ensure_loaded()
    with side.store._lock:
        side.store._save()
    side.is_dirty = False


def _rotate(side: Side, call: Call) -> View:
    """Go on under another session id, as an agent does that has compressed its transcript."""
    entry = side.held.get(call.lane)
    if entry is not None:
        entry.session_id = _compressed(side, entry)
        _save(side, call)
        if side.gateway.recovers:
            side.store._record_gateway_session_peer(
                entry.session_id, entry.session_key, entry.origin
            )
    return entry_view(side, entry)


def _compressed(side: Side, entry: Any) -> str:
    child = f"20260611_000000_{len(side.ids):012d}"
    side.store._db.end_session(entry.session_id, "compression")
    side.store._db.create_session(
        child, entry.platform.value, user_id="7", parent_session_id=entry.session_id
    )
    side.name(child)
    return child


def _compress(side: Side, call: Call) -> View:
    """Compress a transcript in the database only: the gateway dies before it has saved that."""
    entry = side.held.get(call.lane)
    if entry is not None:
        _compressed(side, entry)


def _end_row(side: Side, call: Call) -> View:
    entry = side.held.get(call.lane)
    if entry is not None:
        side.store._db.end_session(entry.session_id, *call.args)


def _finalize(side: Side, call: Call) -> View:
    side.store._ensure_loaded()
    entry = side.store._entries.get(_key(side, call))
    if entry is None:
        return
    if hasattr(side.store, "set_expiry_finalized"):
        side.store.set_expiry_finalized(entry, clear_model_override=call.args[0])
    else:
        with side.store._lock:
            entry.expiry_finalized = True
            side.store._save()
    side.is_dirty = False


def _restart(side: Side, call: Call) -> View:
    # What was changed and not saved is lost with the plugin; the gateway's own store writes all
    # with whatever it saves next. Who restarts properly has saved.
    if side.is_dirty:
        _save(side, call)
    side.restart()
    view = _items(side, call)
    side.forget()
    return view


def _process(side: Side, call: Call) -> View:
    side.processes[_key(side, call)] = call.args[0]
    side.in_step()


def _with_entry(method: str) -> Callable[[Side, Call], View]:
    def asked(side: Side, call: Call) -> View:
        side.store._ensure_loaded()
        entry = side.store._entries.get(_key(side, call))
        return None if entry is None else getattr(side.store, method)(entry)

    return asked


def _of_key(method: str) -> Callable[[Side, Call], View]:
    return lambda side, call: getattr(side.store, method)(_key(side, call), *call.args)


def _plain(method: str) -> Callable[[Side, Call], View]:
    return lambda side, call: getattr(side.store, method)(*call.args)


def _update(side: Side, call: Call) -> View:
    side.store.update_session(_key(side, call), *call.args)
    if call.lane not in side.held:  # what is in hand is looked at in any case
        return entry_view(side, side.store._entries.get(_key(side, call)))
    return None


def _override(side: Side, call: Call) -> View:
    side.store.set_model_override(_key(side, call), *call.args)
    return entry_view(side, side.store._entries.get(_key(side, call)))


def _peek(side: Side, call: Call) -> View:
    found = side.store.peek_session_id(_key(side, call))
    return found and side.name(found)


def _lookup(side: Side, call: Call) -> View:
    return entry_view(side, side.store.lookup_by_session_id(side.id_named(*call.args)))


def _items(side: Side, _: Call) -> View:
    side.store._ensure_loaded()
    return by_key(side, list(side.store._entries.items()))


def _values(side: Side, _: Call) -> View:
    side.store._ensure_loaded()
    return by_key(side, [(entry.session_key, entry) for entry in side.store._entries.values()])


def _contains(side: Side, call: Call) -> View:
    side.store._ensure_loaded()
    return _key(side, call) in side.store._entries


def _list(side: Side, call: Call) -> View:
    return newest_first(side, side.store.list_sessions(*call.args))


def _speak(side: Side, call: Call) -> View:
    entry = side.held.get(call.lane)
    if entry is not None:
        side.store.append_to_transcript(entry.session_id, _TOLD)


def _lose(side: Side, call: Call) -> View:
    """Lose a session, but not its row, as by a crash or with another database."""
    side.held.pop(call.lane, None)
    side.lose(_key(side, call))


def _key(side: Side, call: Call) -> str:
    return key_of(side, call.lane)


_TOLD = {"role": "user", "content": "hello"}
_CALLS: dict[str, Callable[[Side, Call], View]] = {
    "message": _message,
    "update": _update,
    "change": _change,
    "save": _save,
    "rotate": _rotate,
    "reset": _reset,
    "switch": _switch,
    "suspend": _of_key("suspend_session"),
    "mark": _of_key("mark_resume_pending"),
    "clear": _of_key("clear_resume_pending"),
    "prune": _plain("prune_old_entries"),
    "recently": _plain("suspend_recently_active"),
    "process": _process,
    "finalize": _finalize,
    "restart": _restart,
    "list": _list,
    "get": _get,
    "contains": _contains,
    "items": _items,
    "values": _values,
    "expired": _with_entry("_is_session_expired"),
    "finalizable": _with_entry("is_session_finalizable"),
    "has_any": _plain("has_any_sessions"),
    "speak": _speak,
    "lose": _lose,
    "override": _override,
    "overridden": _of_key("get_model_override"),
    "peek": _peek,
    "lookup": _lookup,
    "end_row": _end_row,
    "compress": _compress,
}
