"""Shared session state for the replicas of a chat gateway, kept in Redis."""

from redisstore.aio.hold import AsyncProcessHold
from redisstore.aio.maintenance import AsyncMaintenance
from redisstore.aio.store import AsyncSessionStore
from redisstore.aio.turn import AsyncTurn
from redisstore.calls.amendments import Amendments
from redisstore.calls.counters import Counters
from redisstore.calls.drain import Drained
from redisstore.calls.event import Event
from redisstore.calls.event_groups import EventGroup
from redisstore.calls.expiry import ExpiredSession
from redisstore.calls.listing import Counts
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
    "InvalidInput",
    "LayoutMismatch",
    "Maintenance",
    "ModelOverride",
    "NoSuchSession",
    "ProcessHold",
    "PruneBatch",
    "PruneReport",
    "RedisStoreError",
    "Replica",
    "ReplicaDraining",
    "RunningTurn",
    "SessionEntry",
    "SessionId",
    "SessionKey",
    "SessionResetPolicy",
    "SessionSource",
    "SessionStore",
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
    "build_session_key",
]
