"""A line: one connection that all tasks of an event loop share, so that their calls are pipelined.

What they send in one turn of the event loop goes out together; nothing waits for more to come.
Replies come in the order of the commands, so each goes to the task that asked, and a task that was
cancelled meanwhile just does not get its own. Commands of one task, or about one session, arrive in
the order in which they were sent.

redis-py makes the connection, with all that its options ask for (TLS, user, database, sentinels),
and hands it over: its own way to read a reply costs more than the rest of a call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import hiredis
from redis import exceptions as rx

from redisstore.connect.connection import Command, packed

_INCOMPLETE = object()
_ERRORS = {"NOSCRIPT": rx.NoScriptError, "READONLY": rx.ReadOnlyError}
"""Errors that a caller tells by their class; the others by their text, which begins with a code."""


def _reply_error(text: str) -> rx.ResponseError:
    return _ERRORS.get(text.partition(" ")[0], rx.ResponseError)(text)


class Line(asyncio.Protocol):
    """A connection in the hands of an event loop; what it carries is bounded by who waits.

    A call that has waited for ``longest`` seconds fails by itself. The line is given up when it has
    been silent for ``patience`` seconds while an answer is due. Then, and when the connection ends,
    all who wait get the error: what is still to come can't be told apart.
    """

    def __init__(self, writer: asyncio.StreamWriter, *, patience: float, longest: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer  # kept: it closes the transport when it is collected
        self._patience = patience
        self._longest = longest
        self._parser = hiredis.Reader(notEnoughData=_INCOMPLETE, replyError=_reply_error)
        self._unsent: list[bytes] = []
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._heard_at = self._loop.time()
        self._alarm: asyncio.TimerHandle | None = None
        self._ended: Exception | None = None

    @property
    def usable(self) -> bool:
        """Whether it takes commands."""
        return self._ended is None

    def send(self, command: Command) -> asyncio.Future[Any]:
        """Send a command with what else is ready; the future has its reply, or the error."""
        to_send = packed(command)
        reply = self._loop.create_future()
        if self._ended is not None:
            reply.set_exception(rx.ConnectionError(str(self._ended)))
            return reply
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(to_send)
        self._waiting.append((reply, self._loop.time()))
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._patience, self._check_waiting)
        return reply

    def close(self, error: Exception | None = None) -> None:
        """End the connection; whoever waits gets the error."""
        self._writer.transport.abort()
        self._end(error or rx.ConnectionError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        """Hand replies to those who wait."""
        self._heard_at = self._loop.time()
        self._parser.feed(data)
        try:
            while (reply := self._parser.gets()) is not _INCOMPLETE:
                if not isinstance(reply, hiredis.PushNotification):
                    self._answer(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.close(rx.ConnectionError(f"the server sent what nobody asked for: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those who wait."""
        self._end(rx.ConnectionError(f"the connection was lost: {exc or 'closed by the server'}"))

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._ended is None:
            self._writer.transport.writelines(unsent)

    def _answer(self, reply: object) -> None:
        waiting, _ = self._waiting.popleft()
        if waiting.done():
            return  # cancelled, or told that it took too long
        if isinstance(reply, Exception):
            waiting.set_exception(reply)
        else:
            waiting.set_result(reply)

    def _end(self, error: Exception) -> None:
        if self._ended is None:
            self._ended = error
        if self._alarm is not None:
            self._alarm.cancel()
        while self._waiting:
            self._answer(error)

    def _check_waiting(self) -> None:
        """Tell those who have waited too long, and give up a line that has fallen silent."""
        self._alarm = None
        if not self._waiting:
            return
        now = self._loop.time()
        silent_at = max(self._waiting[0][1], self._heard_at) + self._patience
        if silent_at <= now:
            self.close(rx.TimeoutError(f"no answer within {self._patience:g} s"))
            return
        next_check = silent_at
        for waiting, sent_at in self._waiting:
            if sent_at + self._longest > now:
                next_check = min(next_check, sent_at + self._longest)
                break
            if not waiting.done():
                waiting.set_exception(rx.TimeoutError(f"no answer within {self._longest:g} s"))
        self._alarm = self._loop.call_at(next_check, self._check_waiting)


async def open_line(connection: Any, longest: float) -> Line:  # noqa: ANN401 - untyped in redis-py
    """Connect, and take the connection over from redis-py.

    ``longest`` bounds a call, and the connection's own time-out of a reply, in seconds.
    """
    await connection.connect()
    # There is no public way to its transport; without these it is to redis-py as if disconnected.
    writer = connection._writer  # noqa: SLF001
    connection._reader = connection._writer = None  # noqa: SLF001
    line = Line(
        writer, patience=min(connection.socket_timeout or longest, longest), longest=longest
    )
    writer.transport.set_protocol(line)
    if writer.transport.is_closing():
        line.close(rx.ConnectionError("the connection was closed by the server"))
    return line
