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
UNLIMITED_WARNING = 0.5
"""The same of the machine's memory where there is no ``maxmemory``: a rewrite may take as much."""

_OF_A_LOGIN = ("password", "authentication")
"""Words by which a server refuses whoever asks, and not what is asked for."""
_ALONE = Finding(
    "warning",
    "server",
    "a node of a Cluster, taken for a single server: once a slot moves, its sessions are not found",
    "use redis+cluster://: it finds the same store, on whichever node",
)


def settings(store: SessionStore) -> Iterator[Finding]:
    """Ask each server about itself, without CONFIG; on Cluster, a finding names its node.

    Raises:
        StoreUnavailable: the only server there is does not answer.
        StoreRefused: it refuses the password.

    """
    for node, told in store.list_servers():
        for finding in _judged(node, told):
            yield replace(finding, message=f"{node}: {finding.message}") if node.name else finding


def _judged(node: ServerNode, told: ServerInfo | RedisStoreError) -> Iterator[Finding]:
    if isinstance(told, ServerInfo):
        yield judge_version(told)
        if told.mode == "sentinel":
            advice = "use redis+sentinel://HOST:PORT/SERVICE: it finds the server that has the data"
            yield Finding("fault", "server", "it is a Sentinel, and keeps no sessions", advice)
            return
        if told.mode == "cluster" and not node.name:
            yield _ALONE
        yield from judge_persistence(told)
        yield from judge_memory(told)
        return
    is_login = any(word in str(told).lower() for word in _OF_A_LOGIN)
    if isinstance(told, StoreRefused) and not is_login:
        advice = "allow INFO (ACL: +info) to have version, persistence and memory checked"
        yield Finding("warning", "server", f"does not tell about itself: {told}", advice)
    elif not node.name:
        raise told
    elif isinstance(told, StoreRefused):
        advice = "each node needs the user and the password of the URL: ACLs are not replicated"
        yield Finding("fault", "server", str(told), advice)
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
            "redis-cli CONFIG SET appendonly yes, and the same in its configuration",
        )


def judge_memory(info: ServerInfo) -> Iterator[Finding]:
    """Say whether the server may throw entries away, or is about to refuse writes."""
    keep_all = "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its configuration"
    if info.eviction_policy != "noeviction":
        policy = f"maxmemory-policy is {info.eviction_policy}"
        if info.maxmemory:
            message = f"{policy}: entries vanish when memory is short, their index members stay"
            yield Finding("fault", "memory", message, keep_all)
        else:
            message = f"{policy}; it does no harm only as long as maxmemory is 0"
            yield Finding("warning", "memory", message, keep_all)
    yield _room(info)


def _room(info: ServerInfo) -> Finding:
    used, limit, machine = info.used_memory, info.maxmemory, info.machine_memory
    lower = "set maxmemory below it: else the kernel ends Redis before a write is refused"
    raise_it = "raise maxmemory or run redisstore prune: at the limit, writes are refused"
    if not limit:
        message = f"{used:,} bytes used, no limit"
        if machine and used > UNLIMITED_WARNING * machine:
            message += f"; {used / machine:.0%} of the machine's {machine:,}"
            return Finding("warning", "memory", message, lower)
        return Finding("ok", "memory", message)
    of_limit = f"{used:,} bytes used of {limit:,} ({used / limit:.0%})"
    if used >= limit:
        return Finding("fault", "memory", f"{of_limit}: writes are refused", raise_it)
    if used > MEMORY_WARNING * limit:
        return Finding("warning", "memory", of_limit, raise_it)
    if machine and limit > machine:
        message = f"{of_limit}, more than the machine's {machine:,}"
        return Finding("warning", "memory", message, lower)
    return Finding("ok", "memory", of_limit)
