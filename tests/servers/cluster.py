"""A cluster of three masters, each with a replica if wanted, on loopback ports.

It is put together by CLUSTER commands rather than by `redis-cli --cluster create`, which is in
none of the wheels.  The node timeout is short, so that a failover is a matter of seconds.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.crc import key_slot
from redis.retry import Retry

from .binaries import Backend, require
from .lifecycle import Managed
from .single import Server
from .waiting import wait_until

if TYPE_CHECKING:
    from .configuration import Directive

__all__ = ["Cluster"]

_MASTERS = 3
_SLOTS = 16384


class Cluster(Managed):
    """Three masters which share all slots, and `replicas` replicas (0 or 1) of each.

    `nodes` has the masters first, then their replicas in the same order.  Keyword arguments
    are directives of every node.  It has started when each node says `cluster_state:ok`.
    """

    def __init__(
        self,
        backend: Backend | str,
        *,
        replicas: Literal[0, 1] = 0,
        node_timeout_ms: int = 1500,
        **directives: Directive,
    ) -> None:
        self.backend = require(backend) if isinstance(backend, str) else backend
        settings: dict[str, Any] = {"cluster_node_timeout": node_timeout_ms, **directives}
        self.nodes = [
            Server(self.backend, mode="cluster", **settings)
            for _ in range(_MASTERS * (1 + replicas))
        ]
        self._clients: list[redis.RedisCluster] = []

    @property
    def masters(self) -> list[Server]:
        """The nodes which began as masters."""
        return self.nodes[:_MASTERS]

    @property
    def replicas(self) -> list[Server]:
        """The nodes which began as replicas, each in its master's place of `masters`."""
        return self.nodes[_MASTERS:]

    def close(self) -> None:
        """End every node and remove its directory."""
        while self._clients:
            self._clients.pop().close()
        for node in self.nodes:
            node.close()

    def url(self) -> str:
        """`redis+cluster://` with the address of every node, the masters first."""
        hosts = ",".join("{}:{}".format(*node.address) for node in self.nodes)
        return f"redis+cluster://{hosts}"

    def client(self, **options: object) -> redis.RedisCluster:
        """A cluster client which never tries anything twice; the cluster closes it with itself."""
        startup_node: Any = ClusterNode
        settings: dict[str, Any] = {
            "startup_nodes": [startup_node(*node.address) for node in self.nodes if node.running],
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": 10,
            "password": self.nodes[0].password,
            **options,
        }
        client = redis.RedisCluster(**settings)
        self._clients.append(client)
        return client

    def master_of(self, key: str | bytes) -> Server:
        """The node which now serves the slot of a key, as a living master reports it."""
        slot = key_slot(key.encode() if isinstance(key, str) else key)
        for node in self.nodes:
            if node.running and node.info("replication")["role"] == "master":
                return self._node_at(_owner_port(node, slot))
        raise RuntimeError("no master is running")

    def wait_until_ok(self, *, timeout: float = 20) -> None:
        """Return when every running node says that the cluster is whole."""
        wait_until(
            lambda: all(_is_whole(node) for node in self.nodes if node.running),
            timeout=timeout,
            message=f"cluster_state:ok on every node of {self.nodes}",
        )

    def _open(self) -> None:
        for node in self.nodes:
            node.start()
        self._form()

    def _form(self) -> None:
        for epoch, node in enumerate(self.nodes, start=1):
            node.ask("CLUSTER SET-CONFIG-EPOCH", epoch)
        for index, master in enumerate(self.masters):
            master.ask("CLUSTER ADDSLOTSRANGE", *_share(index))
        for node, other in permutations(self.nodes, 2):
            node.ask("CLUSTER MEET", *other.address, other.bus_port)
        wait_until(
            lambda: all(_knows(node, len(self.nodes)) for node in self.nodes),
            timeout=20,
            message=f"{self.nodes} to know each other",
        )
        for master, replica in zip(self.masters, self.replicas, strict=False):
            replica.ask("CLUSTER REPLICATE", master.ask("CLUSTER MYID"))
        wait_until(
            lambda: all(map(_replicates, self.replicas)),
            timeout=20,
            message=f"{self.replicas} to replicate",
        )
        self.wait_until_ok()

    def _node_at(self, port: int) -> Server:
        return next(node for node in self.nodes if node.port == port)


def _share(index: int) -> tuple[int, int]:
    """The first and last slot of one master."""
    return _SLOTS * index // _MASTERS, _SLOTS * (index + 1) // _MASTERS - 1


def _is_whole(node: Server) -> bool:
    state: dict[str, str] = node.ask("CLUSTER INFO")
    return state["cluster_state"] == "ok" and int(state["cluster_slots_ok"]) == _SLOTS


def _knows(node: Server, count: int) -> bool:
    """Whether a node has finished its handshake with all others, their slots included."""
    others = _view(node)
    served = sum(bool(other["slots"]) for other in others.values())
    greeting = any("handshake" in other["flags"] for other in others.values())
    return len(others) == count and served == _MASTERS and not greeting


def _replicates(node: Server) -> bool:
    state = node.info("replication")
    return bool(state["role"] == "slave" and state["master_link_status"] == "up")


def _owner_port(node: Server, slot: int) -> int:
    """The port of the master that serves the slot, in the eyes of a node."""
    for address, seen in _view(node).items():
        if any(int(bounds[0]) <= slot <= int(bounds[-1]) for bounds in seen["slots"]):
            return int(address.rpartition(":")[2])
    raise RuntimeError(f"no node serves slot {slot}")


def _view(node: Server) -> dict[str, dict[str, Any]]:
    """CLUSTER NODES: what a node knows of each, by address."""
    view: dict[str, dict[str, Any]] = node.ask("CLUSTER NODES")
    return view
