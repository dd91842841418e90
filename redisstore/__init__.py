"""Shared session state for the replicas of a chat gateway, kept in Redis."""

from redisstore.aio.hold import AsyncProcessHold
from redisstore.aio.store import AsyncSessionStore
from redisstore.calls.listing import Counts
from redisstore.calls.prune import PruneBatch, PruneReport
from redisstore.config import StoreConfig
from redisstore.entry import ModelOverride, SessionEntry
from redisstore.errors import (
    ClockSkew,
    CorruptEntry,
    EntryTooLarge,
    InvalidInput,
    LayoutMismatch,
    NoSuchSession,
    RedisStoreError,
    StaleWrite,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from redisstore.keys import SessionId, SessionKey
from redisstore.policy import SessionResetPolicy
from redisstore.source import SessionSource, build_session_key
from redisstore.sync.hold import ProcessHold
from redisstore.sync.store import SessionStore

__all__ = [
    "AsyncProcessHold",
    "AsyncSessionStore",
    "ClockSkew",
    "CorruptEntry",
    "Counts",
    "EntryTooLarge",
    "InvalidInput",
    "LayoutMismatch",
    "ModelOverride",
    "NoSuchSession",
    "ProcessHold",
    "PruneBatch",
    "PruneReport",
    "RedisStoreError",
    "SessionEntry",
    "SessionId",
    "SessionKey",
    "SessionResetPolicy",
    "SessionSource",
    "SessionStore",
    "StaleWrite",
    "StoreConfig",
    "StoreFull",
    "StoreRefused",
    "StoreUnavailable",
    "build_session_key",
]
