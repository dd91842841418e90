# Written by `make twins` from redisstore/sync/store.py: edit that one.
"""The store, put together from its operations."""

from __future__ import annotations

from redisstore.aio.audits import AuditOperations
from redisstore.aio.drops import DropOperations
from redisstore.aio.events import EventOperations
from redisstore.aio.holds import HoldOperations
from redisstore.aio.replicas import ReplicaOperations
from redisstore.aio.sessions import SessionOperations
from redisstore.aio.sweeps import SweepOperations


class AsyncSessionStore(
    SessionOperations,
    ReplicaOperations,
    SweepOperations,
    HoldOperations,
    EventOperations,
    AuditOperations,
    DropOperations,
):
    """The sessions of a gateway, shared by all its replicas. For one event loop.

    A call is one round trip unless it says otherwise; the first one also checks the layout in
    ``{redisstore}:meta``. The store repeats a call whose reply is lost, and it is still applied
    once. What any call can raise: ``InvalidInput``, naming the argument, before anything is done;
    ``StoreUnavailable`` after ``config.deadline`` seconds without an answer; ``LayoutMismatch``;
    ``StoreRefused``; ``CorruptEntry`` for a session that was damaged by hand.

    ``if_session_id`` and ``if_version`` make a write conditional: if the session exists and is
    another, nothing is written and ``StaleWrite`` is raised. ``if_turn`` fences a write: it is
    taken only while that turn has the session, else ``TurnLost`` or ``StaleWrite`` is raised.

    The ``redis-cli`` lines are for one partition; with more, ``redisstore show`` prints the names.
    """
