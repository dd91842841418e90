"""A TCP proxy with controllable faults, for what goes wrong between a client and its server.

The fault that matters most is the lost reply: the server has done the write and the client
sees a broken connection.  Whoever then tries again must not do the write twice.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from .lifecycle import Managed
from .ports import HOST, lease_port, return_port
from .wire import Dialogue, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["SCRIPT_COMMANDS", "FaultyProxy"]

SCRIPT_COMMANDS = frozenset({"EVAL", "EVALSHA", "FCALL"})
"""The commands whose loss is simulated unless others are named."""

T = TypeVar("T")

_CHUNK = 65536
_ACCEPT_SECONDS = 0.2


class FaultyProxy(Managed):
    """Listens on a loopback port, forwards to `target`, and misbehaves on demand.

    The faults may be set at any time and hold for connections new and old until
    `pass_through`.  The counters only grow: `dropped_replies`, `dropped_requests`, and `cuts`,
    the connections `cut` has ended.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.dropped_replies = 0
        self.dropped_requests = 0
        self.cuts = 0
        self._port = 0
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._links: set[_Link] = set()
        self._changed = threading.Condition()
        self._requests_flow = True
        self._replies_flow = True
        self._delay = 0.0
        self._replies_to_drop = 0
        self._requests_to_drop = 0
        self._commands: frozenset[str] = SCRIPT_COMMANDS

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the proxy."""
        return HOST, self._port

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        with self._changed:
            return len(self._links)

    def url(self, db: int = 0) -> str:
        """The URL of a database by way of the proxy."""
        return f"redis://{HOST}:{self._port}/{db}"

    def close(self) -> None:
        """Stop listening, end all connections and wait for the threads."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        _hang_up(listener)
        self._end_links()
        for thread in self._threads:
            thread.join(timeout=5)
        return_port(self._port)

    def drop_replies(self, count: int = 1, *, commands: Collection[str] = SCRIPT_COMMANDS) -> None:
        """Lose the replies to the next `count` of these commands, after the server gave them.

        The client's connection is closed instead.  A reply which says that nothing was done
        (NOSCRIPT, MOVED, ...) passes and does not count.  Of a pipeline no reply passes, and
        the connection is closed when the server has answered all of it.
        """
        with self._changed:
            self._replies_to_drop = count
            self._commands = frozenset(commands)

    def drop_requests(self, count: int = 1, *, commands: Collection[str] = SCRIPT_COMMANDS) -> None:
        """Lose the next `count` of these commands before the server sees them."""
        with self._changed:
            self._requests_to_drop = count
            self._commands = frozenset(commands)

    def hang(self) -> None:
        """Accept connections and bytes, and forward nothing in either direction."""
        self._set(requests_flow=False, replies_flow=False)

    def hold_replies(self) -> None:
        """Forward requests and keep the replies back: the client times out, the write is done."""
        self._set(requests_flow=True, replies_flow=False)

    def delay(self, seconds: float) -> None:
        """Forward each chunk of requests so much later."""
        with self._changed:
            self._delay = seconds

    def cut(self) -> None:
        """Close all connections now, in the middle of whatever they do; new ones are welcome."""
        self.cuts += self._end_links()

    def pass_through(self) -> None:
        """End every fault; what was held back flows on."""
        with self._changed:
            self._delay = 0.0
            self._replies_to_drop = self._requests_to_drop = 0
        self._set(requests_flow=True, replies_flow=True)

    def _open(self) -> None:
        self._port = lease_port()
        self._listener = socket.create_server(self.address)
        self._listener.settimeout(_ACCEPT_SECONDS)
        self._spawn(self._accept, self._listener)

    def _set(self, *, requests_flow: bool, replies_flow: bool) -> None:
        with self._changed:
            self._requests_flow, self._replies_flow = requests_flow, replies_flow
            self._changed.notify_all()

    def _spawn(self, work: Callable[[T], None], argument: T) -> None:
        thread = threading.Thread(target=work, args=(argument,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            link = _Link(client)
            with self._changed:
                self._links.add(link)
            self._spawn(self._serve, link)

    def _serve(self, link: _Link) -> None:
        """Carry the requests of one connection; its replies have a thread of their own."""
        try:
            if self._requests_may_pass(link):
                link.connect(self.target)
                self._spawn(self._carry_replies, link)
                self._carry_requests(link)
        except OSError:
            pass
        finally:
            self._forget(link)

    def _carry_requests(self, link: _Link) -> None:
        while data := link.client.recv(_CHUNK):
            if self._request_is_lost(link.dialogue.ask(data)):
                return
            if not self._requests_may_pass(link):
                return
            link.server.sendall(data)

    def _carry_replies(self, link: _Link) -> None:
        held, doomed = b"", False
        try:
            while data := link.server.recv(_CHUNK):
                held += data
                for command, reply in link.dialogue.answer(data):
                    doomed |= self._reply_is_lost(command, reply)
                if link.dialogue.outstanding and (doomed or self._replies_to_drop):
                    continue
                if doomed or not self._replies_may_pass(link):
                    return
                link.client.sendall(held)
                held = b""
        except OSError:
            pass
        finally:
            self._forget(link)

    def _request_is_lost(self, commands: list[str]) -> bool:
        with self._changed:
            lost = self._requests_to_drop > 0 and not self._commands.isdisjoint(commands)
            self._requests_to_drop -= lost
            self.dropped_requests += lost
        return lost

    def _reply_is_lost(self, command: str, reply: object) -> bool:
        with self._changed:
            lost = self._replies_to_drop > 0 and command in self._commands and not refused(reply)
            self._replies_to_drop -= lost
            self.dropped_replies += lost
        return lost

    def _requests_may_pass(self, link: _Link) -> bool:
        """Wait until the requests flow, then for the delay; False when the link ended before."""
        with self._changed:
            if self._delay:
                self._changed.wait_for(lambda: link.ended, self._delay)
            self._changed.wait_for(lambda: link.ended or self._requests_flow)
        return not link.ended

    def _replies_may_pass(self, link: _Link) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: link.ended or self._replies_flow)
        return not link.ended

    def _end_links(self) -> int:
        with self._changed:
            links = list(self._links)
        for link in links:
            self._forget(link)
        return len(links)

    def _forget(self, link: _Link) -> None:
        with self._changed:
            link.end()
            self._links.discard(link)
            self._changed.notify_all()


class _Link:
    """One client's connection and its counterpart to the server."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.server = socket.socket()
        self.dialogue = Dialogue()
        self.ended = False
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connect(self, target: tuple[str, int]) -> None:
        self.server.connect(target)

    def end(self) -> None:
        self.ended = True
        _hang_up(self.client)
        _hang_up(self.server)


def _hang_up(connection: socket.socket) -> None:
    """Close a socket, waking the thread which waits on it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
