"""Reading a client's conversation with its server: which reply answers which request."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import hiredis

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Dialogue", "refused"]

_INCOMPLETE: Final = object()
_UNDONE = ("NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "NOAUTH")


class Dialogue:
    """The requests and replies of one connection, cut out of its bytes and paired in order.

    Commands answered by push messages (SUBSCRIBE and its kin) are not paired.  Bytes which are
    not RESP, as those of TLS, end the reading, not the connection.
    """

    def __init__(self) -> None:
        self._asking = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._answering = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._outstanding: deque[str] = deque()
        self._legible = True

    @property
    def outstanding(self) -> int:
        """How many requests are not yet answered."""
        return len(self._outstanding)

    def ask(self, data: bytes) -> list[str]:
        """Take bytes of the client; the names of the commands complete with them, upper case."""
        names = [
            request[0].decode("ascii", "replace").upper()
            for request in self._messages(self._asking, data)
            if isinstance(request, list) and request and isinstance(request[0], bytes)
        ]
        self._outstanding.extend(name for name in names if not name.endswith("SUBSCRIBE"))
        return names

    def answer(self, data: bytes) -> list[tuple[str, object]]:
        """Take bytes of the server; the replies complete with them, each with its command."""
        return [
            (self._outstanding.popleft(), reply)
            for reply in self._messages(self._answering, data)
            if self._outstanding and not isinstance(reply, hiredis.PushNotification)
        ]

    def _messages(self, reader: hiredis.Reader, data: bytes) -> Iterator[object]:
        if not self._legible:
            return
        try:
            reader.feed(data)
            while (message := reader.gets()) is not _INCOMPLETE:
                yield message
        except hiredis.ProtocolError:
            self._legible = False
            self._outstanding.clear()


def refused(reply: object) -> bool:
    """Whether a reply says that the command was not carried out and should be sent again."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(_UNDONE)
