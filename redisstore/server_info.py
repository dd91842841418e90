"""What a server says of itself, as far as a session store cares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

ServerRole: TypeAlias = Literal["master", "replica"]
ServerMode: TypeAlias = Literal["standalone", "cluster", "sentinel"]


@dataclass(frozen=True, slots=True)
class ServerNode:
    """One of the servers that a store is on."""

    name: str
    """``host:port`` of a Cluster's node; empty where there is but one server."""
    role: ServerRole

    def __str__(self) -> str:
        return f"{self.name} ({self.role})"


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The server's kind and version, and how safe data is with it."""

    product: str
    """``Redis`` or ``Valkey``."""
    version: tuple[int, ...]
    append_only: bool
    last_write_ok: bool
    """Whether the last save, or write to the append-only file, worked."""
    has_snapshots: bool
    """Whether a snapshot was saved, or loaded, since the server started."""
    maxmemory: int
    """Bytes; 0: no limit."""
    eviction_policy: str
    used_memory: int
    machine_memory: int = 0
    """Bytes of the machine, however much of it the server may use; 0: it does not tell."""
    mode: ServerMode = "standalone"
    """Whether it stands alone, is a node of a Cluster, or a Sentinel, which keeps no data."""

    def __str__(self) -> str:
        return f"{self.product} {'.'.join(map(str, self.version))}"

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> ServerInfo:
        """Read the answer to INFO: its sections server, memory and persistence.

        Valkey says ``redis_version:7.2.4`` whatever it is; its own version is ``valkey_version``.
        """
        modes: dict[object, ServerMode] = {"cluster": "cluster", "sentinel": "sentinel"}
        product = "Valkey" if "valkey_version" in info else "Redis"
        version = str(info.get("valkey_version") or info.get("redis_version") or "0")
        return cls(
            product=product,
            version=tuple(int(part) for part in version.split(".") if part.isdigit()),
            append_only=bool(info.get("aof_enabled")),
            last_write_ok=info.get("rdb_last_bgsave_status", "ok") == "ok"
            and info.get("aof_last_write_status", "ok") == "ok",
            has_snapshots=any(
                int(info.get(count, 0)) > 0 for count in ("rdb_saves", "rdb_last_load_keys_loaded")
            ),
            maxmemory=int(info.get("maxmemory", 0)),
            eviction_policy=str(info.get("maxmemory_policy", "noeviction")),
            used_memory=int(info.get("used_memory", 0)),
            machine_memory=int(info.get("total_system_memory", 0)),
            mode=modes.get(info.get("server_mode") or info.get("redis_mode"), "standalone"),
        )
