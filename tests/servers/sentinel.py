"""A master and its replica under three sentinels, quick to notice that the master is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .binaries import Backend, require
from .lifecycle import Managed
from .single import Server
from .waiting import wait_until

if TYPE_CHECKING:
    from .configuration import Directive

__all__ = ["SentinelSetup"]

_SENTINELS = 3
_QUORUM = 2
_HASTE = ("INFO-PERIOD", 500, "PUBLISH-PERIOD", 300, "PING-PERIOD", 200, "ASK-PERIOD", 200)


class SentinelSetup(Managed):
    """One master, one replica, three sentinels with a quorum of two.

    Keyword arguments are directives of the two data nodes.  A sentinel takes ten seconds to
    look for replicas and two to greet the others; SENTINEL DEBUG makes it less patient.  The
    setup has started when every sentinel knows the replica and the others.
    """

    def __init__(
        self, backend: Backend | str, *, service: str = "mymaster", **directives: Directive
    ) -> None:
        self.backend = require(backend) if isinstance(backend, str) else backend
        self.service = service
        self.data_nodes: list[Server] = []
        self.sentinels: list[Server] = []
        self._directives: dict[str, Any] = dict(directives)

    def close(self) -> None:
        """End all five servers and remove their directories."""
        for server in [*self.sentinels, *self.data_nodes]:
            server.close()
        self.sentinels.clear()
        self.data_nodes.clear()

    @property
    def master(self) -> Server:
        """The data node all running sentinels now call the master."""
        port = wait_until(self._agreed_port, message="the sentinels to agree on a master")
        return next(node for node in self.data_nodes if node.port == port)

    def url(self, service: str | None = None, db: int = 0) -> str:
        """`redis+sentinel://` with the address of every sentinel, the service and a database."""
        hosts = ",".join("{}:{}".format(*sentinel.address) for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{service or self.service}/{db}"

    def fail_master(self, *, timeout: float = 20) -> Server:
        """Kill the master and return the node all sentinels report, and which says so, instead.

        The one killed stays in `data_nodes`; its `start` brings it back as a replica.
        """
        lost = self.master
        lost.kill()

        def successor() -> Server | None:
            port = self._agreed_port()
            if port is None or port == lost.port:
                return None
            node = next(one for one in self.data_nodes if one.port == port)
            return node if node.info("replication")["role"] == "master" else None

        chosen = wait_until(
            successor, timeout=timeout, message=f"the sentinels to replace the master {lost!r}"
        )
        if chosen is None:
            raise AssertionError("unreachable: wait_until returns what is true")
        return chosen

    def _open(self) -> None:
        master = Server(self.backend, **self._directives)
        self.data_nodes.append(master)
        master.start()
        following: dict[str, Any] = {"replicaof": master.address, **self._directives}
        if master.password is not None:
            following["masterauth"] = master.password
        replica = Server(self.backend, **following)
        self.data_nodes.append(replica)
        replica.start()
        wait_until(lambda: _linked(replica), message=f"{replica!r} to replicate")
        for _ in range(_SENTINELS):
            sentinel = Server(self.backend, mode="sentinel", lines=self._orders(master))
            self.sentinels.append(sentinel)
            sentinel.start()
            sentinel.ask("SENTINEL DEBUG", *_HASTE)
        wait_until(
            lambda: all(map(self._informed, self.sentinels)),
            timeout=20,
            message="the sentinels to know the replica and each other",
        )

    def _orders(self, master: Server) -> list[str]:
        host, port = master.address
        password = master.password
        return [
            f"sentinel monitor {self.service} {host} {port} {_QUORUM}",
            *([] if password is None else [f'sentinel auth-pass {self.service} "{password}"']),
            f"sentinel down-after-milliseconds {self.service} 800",
            f"sentinel failover-timeout {self.service} 2000",
            f"sentinel parallel-syncs {self.service} 1",
        ]

    def _informed(self, sentinel: Server) -> bool:
        state: dict[str, Any] = sentinel.ask("SENTINEL MASTER", self.service)
        replicas: list[dict[str, Any]] = sentinel.ask("SENTINEL SLAVES", self.service)
        return (
            state["num-other-sentinels"] == _SENTINELS - 1
            and len(replicas) == 1
            and replicas[0]["flags"] == "slave"
        )

    def _agreed_port(self) -> int | None:
        """The master's port if all running sentinels report the same."""
        ports = {self._reported_port(one) for one in self.sentinels if one.running}
        return ports.pop() if len(ports) == 1 else None

    def _reported_port(self, sentinel: Server) -> int | None:
        address = sentinel.ask("SENTINEL GET-MASTER-ADDR-BY-NAME", self.service)
        return None if address is None else int(address[1])


def _linked(replica: Server) -> bool:
    return bool(replica.info("replication")["master_link_status"] == "up")
