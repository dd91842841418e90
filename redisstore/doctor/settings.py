"""Whether a server is new enough, keeps what it is given, and has room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from redisstore.doctor.finding import Finding
from redisstore.errors import RedisStoreError, StoreRefused
from redisstore.server_info import ServerInfo, ServerNode
from redisstore.sync.store import SessionStore

OLDEST_SUPPORTED = {"Redis": (7, 0), "Valkey": (7, 2)}
MEMORY_WARNING = 0.9
"""Share of ``maxmemory`` in use from which there is a warning."""


def settings(store: SessionStore) -> Iterator[Finding]:
    """Ask each server about itself, without CONFIG; on Cluster, a finding names its node.

    Raises:
        StoreUnavailable: the only server there is does not answer.

    """
    for node, told in store.list_servers():
        for finding in _judged(node, told):
            yield replace(finding, message=f"{node}: {finding.message}") if node.name else finding


def _judged(node: ServerNode, told: ServerInfo | RedisStoreError) -> Iterator[Finding]:
    if isinstance(told, ServerInfo):
        yield judge_version(told)
        yield from judge_persistence(told)
        yield from judge_memory(told)
    elif isinstance(told, StoreRefused):
        advice = "allow INFO (ACL: +info) to have version, persistence and memory checked"
        yield Finding("warning", "server", f"does not tell about itself: {told}", advice)
    elif not node.name:
        raise told
    elif node.role == "master":
        advice = "its sessions can't be reached until it is back, or a replica takes its place"
        yield Finding("fault", "server", str(told), advice)
    else:
        advice = "start it again: until then, its master has one replica less to take its place"
        yield Finding("warning", "server", str(told), advice)


def judge_version(info: ServerInfo) -> Finding:
    """Say whether the server is new enough for the scripts."""
    oldest = OLDEST_SUPPORTED[info.product]
    wanted = f"{info.product} {'.'.join(map(str, oldest))}"
    if info.version < oldest:
        message = f"{info} is too old"
        return Finding("fault", "server", message, f"upgrade to {wanted} or newer")
    return Finding("ok", "server", str(info))


def judge_persistence(info: ServerInfo) -> Iterator[Finding]:
    """Say whether sessions outlive the server process."""
    if not info.last_write_ok:
        yield Finding(
            "fault",
            "persistence",
            "the last write to the disk failed",
            "look for a full or read-only disk in the server's log, then run BGSAVE",
        )
    if info.append_only:
        yield Finding("ok", "persistence", "append-only file")
    elif info.has_snapshots:
        yield Finding("ok", "persistence", "snapshots; a crash loses what came after the last one")
    else:
        yield Finding(
            "warning",
            "persistence",
            "no append-only file and no snapshot: a restart may lose every session",
            "redis-cli CONFIG SET appendonly yes, then CONFIG REWRITE",
        )


def judge_memory(info: ServerInfo) -> Iterator[Finding]:
    """Say whether the server may throw entries away, or is about to refuse writes."""
    keep_all = "redis-cli CONFIG SET maxmemory-policy noeviction, then CONFIG REWRITE"
    if info.eviction_policy != "noeviction":
        policy = f"maxmemory-policy is {info.eviction_policy}"
        if info.maxmemory:
            message = f"{policy}: entries vanish when memory is short, their index members stay"
            yield Finding("fault", "memory", message, keep_all)
        else:
            message = f"{policy}; it does no harm only as long as maxmemory is 0"
            yield Finding("warning", "memory", message, keep_all)
    used = f"{info.used_memory:,} bytes used"
    if not info.maxmemory:
        yield Finding("ok", "memory", f"{used}, no limit")
        return
    of_limit = f"{used} of {info.maxmemory:,} ({info.used_memory / info.maxmemory:.0%})"
    if info.used_memory > MEMORY_WARNING * info.maxmemory:
        advice = "raise maxmemory or run redisstore prune: at the limit, writes are refused"
        yield Finding("warning", "memory", of_limit, advice)
    else:
        yield Finding("ok", "memory", of_limit)
