"""Watches the sockets of this process: what is sent, what comes, how often one waits for it."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from tests.servers.wire import Dialogue

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Traffic", "Wire"]


@dataclass
class Traffic:
    """What passed."""

    round_trips: int = 0
    """How often something came on a connection after something was sent there."""
    bytes_up: int = 0
    bytes_down: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    """What was sent, by name, in lower case."""


class Wire:
    """A ``with`` block in which every socket of this process to one server is watched.

    The methods of ``socket.socket`` are wrapped: redis-py and asyncio both end there, so the counts
    know nothing of what is above, and do not depend on when or in how many pieces replies come.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self.traffic = Traffic()
        self._server = server
        self._watching = False
        self._lock = threading.Lock()
        self._dialogues: dict[socket.socket, Dialogue] = {}
        self._sent_last: set[socket.socket] = set()
        self._wrappers = {
            "send": self._sending,
            "sendall": self._sending,
            "sendmsg": self._sending,
            "recv": self._receiving,
            "recv_into": self._receiving,
        }

    def begin(self) -> None:
        """Count from now on."""
        self.traffic = Traffic()
        self._dialogues.clear()
        self._sent_last.clear()
        self._watching = True

    def end(self) -> Traffic:
        """Count no more; return what passed since the begin."""
        self._watching = False
        return self.traffic

    def __enter__(self) -> Self:
        wrapped: Any = socket.socket
        for name, wrap in self._wrappers.items():
            setattr(wrapped, name, wrap(getattr(socket.socket, name)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in self._wrappers:
            delattr(socket.socket, name)  # what they hide is inherited

    def _sending(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def send(it: socket.socket, data: Any, *flags: int) -> Any:
            sent = original(it, data, *flags)
            if self._watching and self._leads_there(it):
                whole = b"".join(data) if isinstance(data, (list, tuple)) else bytes(data)
                self._sent(it, whole[:sent])
            return sent

        return send

    def _receiving(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def receive(it: socket.socket, *arguments: Any) -> Any:
            received = original(it, *arguments)
            # redis-py looks, by recv(1, MSG_PEEK), whether there is something to come for.
            if self._watching and socket.MSG_PEEK not in arguments[1:]:
                self._came(it, received if isinstance(received, int) else len(received))
            return received

        return receive

    def _leads_there(self, it: socket.socket) -> bool:
        with suppress(OSError):  # it may have been closed meanwhile
            return bool(it.getpeername() == self._server)
        return False

    def _sent(self, it: socket.socket, data: bytes) -> None:
        with self._lock:
            self._sent_last.add(it)
            self.traffic.bytes_up += len(data)
            names = self._dialogues.setdefault(it, Dialogue()).ask(data)
            self.traffic.commands.update(name.lower() for name in names)

    def _came(self, it: socket.socket, size: int) -> None:
        with self._lock:
            if it not in self._dialogues:
                return
            self.traffic.bytes_down += size
            if size and it in self._sent_last:
                self._sent_last.remove(it)
                self.traffic.round_trips += 1
