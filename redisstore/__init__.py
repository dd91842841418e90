"""Shared session state for the replicas of a chat gateway, kept in Redis."""

from redisstore.aio.hold import AsyncProcessHold
from redisstore.aio.maintenance import AsyncMaintenance
from redisstore.aio.store import AsyncSessionStore
from redisstore.aio.turn import AsyncTurn
from redisstore.calls.amendments import Amendments
from redisstore.calls.audit import Fault
from redisstore.calls.call import HasLease
from redisstore.calls.counters import Counters
from redisstore.calls.drain import Drained
from redisstore.calls.event import Event
from redisstore.calls.event_groups import EventGroup
from redisstore.calls.events import Since
from redisstore.calls.expiry import ExpiredSession
from redisstore.calls.handled import Handled
from redisstore.calls.holds import Hold
from redisstore.calls.imports import Verdict
from redisstore.calls.listing import Counts, Only
from redisstore.calls.prune import PruneBatch, PruneReport
from redisstore.calls.replicas import Replica
from redisstore.calls.running_turns import RunningTurn
from redisstore.config import StoreConfig
from redisstore.entry import ModelOverride, SessionEntry
from redisstore.errors import (
    ClockSkew,
    CorruptEntry,
    DuplicateMessage,
    EntryTooLarge,
    InvalidInput,
    LayoutMismatch,
    NoSuchSession,
    RedisStoreError,
    ReplicaDraining,
    StaleWrite,
    StoreClosed,
    StoreFull,
    StoreInUse,
    StoreRefused,
    StoreUnavailable,
    TurnBusy,
    TurnLost,
)
from redisstore.keys import SessionId, SessionKey
from redisstore.policy import SessionResetPolicy
from redisstore.server_info import ServerInfo, ServerNode
from redisstore.source import SessionSource, build_session_key
from redisstore.sync.hold import ProcessHold
from redisstore.sync.maintenance import Maintenance
from redisstore.sync.store import SessionStore
from redisstore.sync.turn import Turn

__all__ = [
    "Amendments",
    "AsyncMaintenance",
    "AsyncProcessHold",
    "AsyncSessionStore",
    "AsyncTurn",
    "ClockSkew",
    "CorruptEntry",
    "Counters",
    "Counts",
    "Drained",
    "DuplicateMessage",
    "EntryTooLarge",
    "Event",
    "EventGroup",
    "ExpiredSession",
    "Fault",
    "Handled",
    "HasLease",
    "Hold",
    "InvalidInput",
    "LayoutMismatch",
    "Maintenance",
    "ModelOverride",
    "NoSuchSession",
    "Only",
    "ProcessHold",
    "PruneBatch",
    "PruneReport",
    "RedisStoreError",
    "Replica",
    "ReplicaDraining",
    "RunningTurn",
    "ServerInfo",
    "ServerNode",
    "SessionEntry",
    "SessionId",
    "SessionKey",
    "SessionResetPolicy",
    "SessionSource",
    "SessionStore",
    "Since",
    "StaleWrite",
    "StoreClosed",
    "StoreConfig",
    "StoreFull",
    "StoreInUse",
    "StoreRefused",
    "StoreUnavailable",
    "Turn",
    "TurnBusy",
    "TurnLost",
    "Verdict",
    "build_session_key",
]
