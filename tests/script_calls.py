"""One call of each script, as the store makes it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

from redisstore import SessionId, SessionKey, StoreConfig
from redisstore.calls import (
    amendments,
    audit,
    dropping,
    event_groups,
    events,
    expiry,
    handled,
    holds,
    imports,
    jobs,
    leases,
    listing,
    locks,
    messages,
    prune,
    recovery,
    replicas,
    revocation,
    running_turns,
    sessions,
    sharing,
    turns,
)
from redisstore.calls.call import Ask, Call, Conditions, Context, Lease
from redisstore.calls.counters import Counters
from redisstore.calls.layout import Opening
from redisstore.keys import KeySpace
from tests.entries import NOW, aged, source

__all__ = ["CALLS", "KEY"]

KEY = SessionKey("agent:main:telegram:dm:42")
CONTEXT = Context(KeySpace("redisstore"), StoreConfig())
SEVERAL = Context(KeySpace("redisstore", 2), StoreConfig())
ANY = Conditions()
EXPIRED = expiry.ExpiredSession(aged("42", timedelta(0)), attempt=1)
CLAIM = expiry.Claim(expiry.ClaimName(KEY, "by-hand/0/1"), EXPIRED, ttl=60, asked_at=0)
OPENED = Opening(StoreConfig(), clustered=False)
OPENED.found(1)
MESSAGE = turns.request(CONTEXT, source("42"), "m-1", 0)
LEASE = Lease(KEY, "by-hand/0/1", 1, SessionId("s"))


def asked(sweep: Generator[Any, Any, Any], *answers: Any) -> Call[Any]:
    """Return the call that an operation asks for, after so many answers."""
    step = next(sweep)
    for answer in answers:
        step = sweep.send([answer])
    assert isinstance(step, Ask)
    return step.calls[0]


CALLS: dict[str, Callable[[], Call[Any]]] = {
    "abandon_turn": lambda: asked(turns.give_up(CONTEXT, MESSAGE)),
    "amend_session": lambda: asked(amendments.amend(CONTEXT, KEY, {"display_name": "Ada"}, ANY)),
    "acknowledge_event": lambda: events.acknowledge(CONTEXT.space.partitions[0], "agents", "1-0"),
    "audit_bindings": lambda: asked(audit.shared_ids(SEVERAL, {b"123"}, repair=False)),
    "audit_entries": lambda: asked(audit.keys(CONTEXT, [b"{redisstore}:entry:k"], repair=False)),
    "audit_index": lambda: asked(audit.indexes(CONTEXT, repair=False)),
    "audit_keys": lambda: asked(audit.keys(CONTEXT, [b"{redisstore}:fence"], repair=False)),
    "begin_turn": lambda: asked(turns.begin(CONTEXT, MESSAGE)),
    "claim_expired": lambda: asked(expiry.claim(CONTEXT)),
    "clear_resume_pending": lambda: sessions.clear_resume_pending(CONTEXT, KEY, ANY),
    "count_sessions": lambda: listing.counts(CONTEXT)[0],
    "delete_session": lambda: sessions.delete(CONTEXT, KEY, ANY),
    "drop_keys": lambda: asked(dropping.removals(CONTEXT, [b"{redisstore}:op:t"])),
    "end_turn": lambda: asked(turns.end(CONTEXT, LEASE, 1, Counters(input_tokens=1))),
    "finish_expired": lambda: expiry.finish(CONTEXT, CLAIM, "done"),
    "finish_job": lambda: jobs.finish(CONTEXT, jobs.JOBS[0], "by-hand/0/1", done=True),
    "get_or_create_session": lambda: sessions.get_or_create(CONTEXT, source("42"), force_new=True),
    "get_turn": lambda: leases._turn_call(CONTEXT, KEY),
    "get_session": lambda: sessions.get(CONTEXT, KEY),
    "heartbeat": lambda: asked(replicas.Presence().beat(CONTEXT, (0, 0), "up")),
    "hold_processes": lambda: holds.take(CONTEXT, (KEY, "p"), None),
    "import_handled_messages": lambda: asked(handled.take_in(CONTEXT, [(KEY, {"m-1": NOW})])),
    "import_sessions": lambda: asked(imports.sweep(CONTEXT, [aged("42", timedelta(0))])),
    "leave": lambda: replicas.leave(CONTEXT),
    "list_event_groups": lambda: event_groups.listed(CONTEXT)[0],
    "list_handled_messages": lambda: asked(handled.of(CONTEXT, KEY)),
    "list_holds": lambda: holds.listed(CONTEXT, KEY),
    "list_lanes": lambda: asked(imports.sweep(SEVERAL, [aged("42", timedelta(0))])),
    "list_replicas": lambda: asked(replicas.sweep(CONTEXT)),
    "list_sessions": lambda: asked(
        listing.newest_first(CONTEXT, active_minutes=None, limit=None, only=None)
    ),
    "list_turns": lambda: asked(running_turns.sweep(CONTEXT)),
    "lock_session_id": lambda: locks.lock_call(CONTEXT, LEASE),
    "lookup_session_id": lambda: listing.lookup(CONTEXT, SessionId("s"))[0],
    "mark_resume_pending": lambda: sessions.mark_resume_pending(CONTEXT, KEY, "why", ANY),
    "open_store": lambda: Opening(StoreConfig(), clustered=False).call(claim=True),
    "prune": lambda: asked(prune.sweep(CONTEXT, max_age_days=1, before=None, dry_run=False)),
    "read_events": lambda: asked(events.sweep(OPENED, events.wanted("now", 0, None, None, 1))),
    "read_group_events": lambda: asked(
        events.sweep(OPENED, events.wanted("now", 0, "agents", "c", 1))
    ),
    "recover_turns": lambda: asked(leases.recover_all(CONTEXT)),
    "release_process": lambda: holds.release(CONTEXT, (KEY, "p")),
    "renew_claims": lambda: asked(expiry.renew(CONTEXT, [CLAIM.name])),
    "renew_job": lambda: jobs.renew(CONTEXT, jobs.JOBS[0], "by-hand/0/1"),
    "renew_turns": lambda: leases.renewals(CONTEXT, [LEASE])[0],
    "reset_session": lambda: sessions.reset(CONTEXT, KEY, "name", ANY),
    "revoke_turn": lambda: asked(revocation.revoke(CONTEXT, KEY, "by-hand/0/1", handled=True)),
    "set_model_override": lambda: sessions.set_model_override(CONTEXT, KEY, None, ANY),
    "share_session_id": lambda: asked(sharing.share(CONTEXT, SessionId("s"))),
    "suspend_recently_active": lambda: asked(
        recovery.suspend_recently_active(CONTEXT, 120), replicas.Page(b"", [])
    ),
    "suspend_session": lambda: sessions.suspend(CONTEXT, KEY, ANY),
    "switch_session": lambda: sessions.switch(CONTEXT, KEY, SessionId("s"), ANY),
    "take_job": lambda: jobs.take(CONTEXT, jobs.JOBS[0], "by-hand/0/1"),
    "take_message": lambda: messages.take(CONTEXT, KEY, "m-2", None),
    "unlock_session_id": lambda: locks.unlock_call(CONTEXT, SessionId("s"), KEY, "t"),
    "update_session": lambda: sessions.update(CONTEXT, KEY, 1, Counters(input_tokens=1), ANY),
}
