"""What a worker can be told to do: functions of its own store, by name."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from redisstore import NoSuchSession, SessionId, SessionKey, SessionStore, StaleWrite
from redisstore.fields import to_ms

from .crowd import take_turns
from .lanes import key_of, source_of, unused_since
from .ledger import Ledger
from .messages import answer_all, take_commands, take_each, take_in_turns
from .upkeep import look_after, serve_and_look_after, take_and_do

TOKENS = 3
COST = Decimal("0.000000007")
"""What one increment adds: seven nano-dollars."""


def resolve(store: SessionStore, names: Sequence[str], force_new: bool) -> list[tuple[str, int]]:
    """Resolve each lane once; session id and version, in order."""
    entries = [store.get_or_create_session(source_of(name), force_new=force_new) for name in names]
    return [(entry.session_id, entry.version) for entry in entries]


def read(store: SessionStore, name: str) -> str | None:
    """Read which session id a lane is bound to."""
    entry = store.get_session(key_of(name))
    return entry.session_id if entry else None


def increment(
    store: SessionStore, name: str, times: int | None, ledger: Path, rows: int, row: int
) -> None:
    """Add to a lane's counters, for ever without `times`, and note each acknowledgement."""
    acknowledged = Ledger(ledger, rows=rows, columns=1)
    while times is None or acknowledged.read(row, 0) < times:
        store.update_session(key_of(name), output_tokens=TOKENS, estimated_cost_usd=COST)
        acknowledged.add(row, 0)


def hold(store: SessionStore, name: str, process_id: str) -> None:
    """Hold a lane until killed."""
    with store.hold_process(key_of(name), process_id):
        threading.Event().wait()


def touch(store: SessionStore, names: Sequence[str], seed: int) -> list[tuple[str, int]]:
    """Touch lanes at random until each is gone; what was acknowledged: name and last activity.

    Gone ones are chosen too: the fewer there were, the more often each would be touched, and the
    last ones would never be old enough to be pruned.
    """
    chance = random.Random(seed)
    gone, touched = set[str](), []
    while len(gone) < len(names):
        name = chance.choice(names)
        entry = store.update_session(key_of(name), output_tokens=1)
        if entry is None:
            gone.add(name)
        else:
            touched.append((name, to_ms(entry.updated_at)))
    return touched


def prune(store: SessionStore, lag_ms: int) -> list[tuple[str, int]]:
    """Prune what was not touched for a moment, until nothing is left; session key and cutoff."""
    removed: list[tuple[str, int]] = []
    while store.has_any_sessions():
        store.prune_old_entries(
            before=datetime.now(UTC) - timedelta(milliseconds=lag_ms),
            on_batch=lambda batch: removed.extend(
                (key, to_ms(batch.cutoff)) for key in batch.removed
            ),
        )
    return removed


def chaos(
    store: SessionStore,
    counted: Sequence[str],
    wild: Sequence[str],
    seconds: float,
    seed: int,
    ledger: Path,
    rows: int,
    row: int,
) -> int:
    """Do whatever comes to mind, for some seconds; how many calls it was.

    The counted lanes get nothing that drops their counters, and each increment is noted.
    """
    acknowledged = Ledger(ledger, rows=rows, columns=len(counted))
    chance, calls = random.Random(seed), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        column = chance.randrange(len(counted))
        store.update_session(key_of(counted[column]), output_tokens=TOKENS)
        acknowledged.add(row, column)
        chance.choice(_HARMLESS)(store, chance.choice(counted))
        chance.choice(_DRASTIC)(store, chance.choice(wild))
        calls += 3
    return calls


def stir(
    store: SessionStore, names: Sequence[str], changes: int, seed: int
) -> list[tuple[str, str, str]]:
    """Make so many changes at random; each as it should be told: event, key, session id."""
    chance, made = random.Random(seed), list[tuple[str, str, str]]()
    while len(made) < changes:
        name = chance.choice(names)
        key, source = key_of(name), source_of(name)
        match chance.randrange(6):
            case 0 | 1:
                entry = store.get_or_create_session(source, force_new=True)
                kind = "created" if entry.version == 1 else "reset"
                made.append((kind, key, entry.session_id))
            case 2:
                if reset := store.reset_session(key):
                    made.append(("reset", key, reset.session_id))
            case 3:
                own = SessionId(f"own {seed}.{len(made)}")
                if chance.choice(_TO_ANOTHER_ID)(store, key, own):
                    made.append(("switched", key, own))
            case 4:
                bound = store.get_session(key)
                if bound and _applied(store.mark_resume_pending, key, bound.session_id):
                    made.append(("resume_pending", key, bound.session_id))
            case _:
                bound = store.get_session(key)
                if bound and _applied(store.delete_session, key, bound.session_id):
                    made.append(("deleted", key, bound.session_id))
    return made


_TO_ANOTHER_ID: tuple[Callable[[SessionStore, SessionKey, SessionId], object], ...] = (
    lambda store, key, own: store.switch_session(key, own),
    lambda store, key, own: store.amend_session(key, {"session_id": own}),
)


def _applied(change: Callable[..., bool], key: SessionKey, session_id: SessionId) -> bool:
    try:
        return change(key, if_session_id=session_id)
    except StaleWrite:
        return False


def _hold_what_may_be_gone(store: SessionStore, name: str) -> None:
    with suppress(NoSuchSession):
        store.take_hold(key_of(name), "a process", ttl=1)


def _long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=100)


_SHARED_ID = SessionId("one for several lanes")
_HARMLESS: tuple[Callable[[SessionStore, str], object], ...] = (
    lambda store, name: store.get_or_create_session(source_of(name)),
    lambda store, name: store.mark_resume_pending(key_of(name)),
    lambda store, name: store.clear_resume_pending(key_of(name)),
    lambda store, name: store.set_model_override(key_of(name), {"model": "small"}),
    lambda store, name: store.amend_session(key_of(name), {"display_name": name}),
    lambda store, name: store.take_hold(key_of(name), "a process", ttl=1),
    lambda store, name: store.release_hold(key_of(name), "a process"),
    lambda store, name: store.take_message(key_of(name), "a message"),
    lambda store, _: store.suspend_recently_active(),
    lambda store, _: store.count(),
    lambda store, _: list(store.list_sessions(limit=5)),
)
_DRASTIC: tuple[Callable[[SessionStore, str], object], ...] = (
    lambda store, name: store.get_or_create_session(source_of(name)),
    lambda store, name: store.get_or_create_session(source_of(name), force_new=True),
    lambda store, name: store.suspend_session(key_of(name)),
    lambda store, name: store.reset_session(key_of(name)),
    lambda store, name: store.switch_session(key_of(name), _SHARED_ID),
    lambda store, name: store.amend_session(key_of(name), {"session_id": _SHARED_ID}),
    lambda store, name: list(store.import_sessions([unused_since(name, _long_ago())])),
    lambda store, name: store.delete_session(key_of(name)),
    _hold_what_may_be_gone,
    lambda store, _: store.prune_old_entries(before=_long_ago() + timedelta(days=1)),
    lambda store, _: store.lookup_by_session_id(_SHARED_ID),
)


def consume(store: SessionStore, consumer: str, handled: Path) -> None:
    """Handle what a group of consumers gets, until killed, and note the id of each event."""
    with handled.open("a") as notes:
        for event in store.events(group="agents", consumer=consumer, since="oldest"):
            print(event.id, file=notes, flush=True)


JOBS: dict[str, Callable[..., Any]] = {
    job.__name__: job
    for job in (
        resolve,
        read,
        increment,
        hold,
        touch,
        prune,
        chaos,
        stir,
        consume,
        take_turns,
        take_commands,
        take_each,
        take_in_turns,
        answer_all,
        look_after,
        serve_and_look_after,
        take_and_do,
    )
}
