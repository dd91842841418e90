"""Counts every operation on one server, through one of the two stores."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from redisstore import SessionStore, StoreConfig
from redisstore.calls import prune
from redisstore.calls.layout import Opening
from tests.costs.contention import Scene
from tests.costs.sockets import Wire
from tests.costs.steps import Steps
from tests.costs.table import operations, settings
from tests.faces import open_face
from tests.faults.operations import Operation, furnish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.servers import Server

__all__ = ["COLUMNS", "FACES", "Cost", "counted"]

FACES = ("sync", "async")
COLUMNS = ("trips", "sent", "inside", "up", "down", "functions", "instructions")
_MOMENT = 0.003
"""Seconds between what is prepared and what is counted: the clock of the scripts has moved on."""


@dataclass(frozen=True)
class Cost:
    """What one operation costs."""

    trips: int
    """Round trips."""
    sent: str
    """The commands that were sent, as ``name name*count``."""
    inside: str
    """The commands that scripts carried out."""
    up: int
    """Bytes to the server."""
    down: int
    """Bytes from it."""
    functions: int
    """Functions of redisstore that were entered in the client."""
    instructions: int | None
    """Instructions there, of `steps.PYTHON`; of asyncio they depend on how replies are cut."""

    def columns(self) -> Mapping[str, Any]:
        """Return each count by its name in the file."""
        return asdict(self)


def counted(
    server: Server,
    face: str,
    wanted: Callable[[str], bool] = lambda _: True,
    prepare: Callable[[SessionStore], object] = lambda _: None,
) -> Mapping[str, Cost]:
    """Count the operations that are wanted, by name. Nobody else may use the server meanwhile.

    ``prepare`` is called with each store before it is used.
    """
    with Wire(server.address) as wire:
        scene = Scene(wire)
        return {
            name: _Count(server, face, kind, operation, scene, prepare).cost()
            for name, (kind, operation) in operations(scene).items()
            if wanted(name)
        }


@dataclass(frozen=True)
class _Count:
    server: Server
    face: str
    kind: str
    operation: Operation
    scene: Scene
    prepare: Callable[[SessionStore], object]

    def cost(self) -> Cost:
        """Carry the operation out once, to make connections and learn scripts, and once counted."""
        with ExitStack() as stack:
            ids = _Ids()
            stack.enter_context(patch("secrets.token_hex", lambda size: ids.next(size).hex()))
            stack.enter_context(patch("os.urandom", ids.next))
            admin: Any = stack.enter_context(self.server.client())
            loop = stack.enter_context(closing(asyncio.new_event_loop()))
            store, self.scene.second = self._opened(stack, loop), self._opened(stack, loop)
            other = stack.enter_context(SessionStore.from_url(config=self._config()))
            for each in (store, self.scene.second):
                _stop_clock(each)
                self.prepare(each)
            self._set_up(admin, store, other)
            self.scene.wire.begin()
            self.operation.answer(store)
            self._set_up(admin, store, other)
            before = _executed(admin)
            self.scene.wire.begin()
            with patch.dict(prune.sweep.__kwdefaults__, timer=_stopped), Steps() as steps:
                self.operation.answer(store)
            traffic = self.scene.wire.end()
            inside = _executed(admin) - before - traffic.commands
        return Cost(
            trips=traffic.round_trips,
            sent=_text(traffic.commands),
            inside=_text(inside),
            up=traffic.bytes_up,
            down=traffic.bytes_down,
            functions=steps.functions,
            instructions=steps.instructions if self.face == "sync" else None,
        )

    def _set_up(self, admin: Any, store: SessionStore, other: SessionStore) -> None:
        # That the store is laid out stays; so does nothing else, answers that are kept included.
        for key in admin.scan_iter(count=1000):
            if not key.endswith(b"}:meta"):
                admin.delete(key)
        furnish(other)
        self.operation.before(self._teacher(store, other))
        time.sleep(_MOMENT)

    def _teacher(self, store: SessionStore, other: SessionStore) -> SessionStore:
        # What a turn begins before, the same store goes on with.
        return store if "turn" in self.operation.name else other

    def _opened(self, stack: ExitStack, loop: asyncio.AbstractEventLoop) -> SessionStore:
        store = open_face(self.face, self._config(), loop)
        stack.callback(store.close)
        return store

    def _config(self) -> StoreConfig:
        return StoreConfig(
            url=self.server.url(),
            replica="tester",
            # Whatever ends up in a command keeps its number of digits, and nothing is renewed.
            deadline=300,
            socket_timeout=60,
            turn_lease_ttl=200,
            process_hold_ttl=3000,
            heartbeat_ttl=3000,
            job_lease_ttl=200,
            **settings(self.kind),
        )


class _Ids:
    """Bytes of which no two end alike: where random ones do, sessions share an index."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def next(self, size: int) -> bytes:
        return next(self._numbers).to_bytes(size, "big")


def _stop_clock(store: Any) -> None:
    """Let it be the same moment for what a store keeps for a second, or a day."""
    inside, moment = getattr(store, "_store", store), datetime.now(UTC)
    inside._opening = inside._runner._opening = Opening(
        inside.config, clustered=False, now=lambda: moment
    )


def _stopped() -> float:
    """Tell a prune, which makes batches smaller that take long, that they take no time."""
    return 0.0


def _executed(admin: Any) -> Counter[str]:
    """Return how often the server has carried out each command, without the question itself."""
    stats = admin.info("commandstats")
    return Counter(
        {
            name.removeprefix("cmdstat_"): line["calls"]
            for name, line in stats.items()
            if name != "cmdstat_info"
        }
    )


def _text(commands: Counter[str]) -> str:
    return " ".join(
        name if count == 1 else f"{name}*{count}" for name, count in sorted(commands.items())
    )
