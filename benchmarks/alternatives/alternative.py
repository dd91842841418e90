"""What all that is compared has to do: the work of a chat gateway with its sessions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import ClassVar

from tests.servers import Server

MESSAGES_ONLY = frozenset({"message"})


class Alternative(ABC):
    """A way to keep sessions, at work in a database of its own on one server.

    Its calls are coroutines all the same whether what it stands for is made for asyncio; of a
    blocking one they block, in the one process that measures.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    concurrent: ClassVar[bool]
    """Whether it is made for asyncio."""
    does: ClassVar[frozenset[str]] = frozenset({"message", "create", "turn"})
    """Which of the calls below it has; a limit has only the first."""

    def __init__(self, server: Server, db: int) -> None:
        self.server = server
        self.url = server.url(db)

    @abstractmethod
    async def open(self, sessions: int, *, connections: int) -> None:
        """Connect, and store sessions with the numbers from 0 on."""

    @abstractmethod
    async def message(self, number: int) -> object:
        """Load the session of a message, and record that it was active now."""

    async def create(self, number: int) -> object:
        """Store a session with a number that is new."""
        raise NotImplementedError

    async def turn(self, number: int, message_id: str) -> object:
        """Begin to answer a message, and end: two changes, of activity and of counters."""
        raise NotImplementedError

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""


def chat(number: int) -> str:
    """Return the chat id of a session."""
    return f"{100_000_000 + number}"


def moment() -> str:
    """Return this moment, as it is written into a session that is a blob."""
    return datetime.now(UTC).isoformat()


def document(number: int) -> dict[str, object]:
    """Return a session as a document: what a row of the gateway's own file has."""
    return {
        "session_key": f"agent:main:telegram:dm:{chat(number)}",
        "session_id": f"20260101_000000_{number:012x}",
        "created_at": "2026-01-01T00:00:00+00:00",
        "updated_at": "2026-01-01T00:00:00+00:00",
        "display_name": "Ada Lovelace",
        "platform": "telegram",
        "chat_type": "dm",
        "input_tokens": 1200,
        "output_tokens": 345,
        "total_tokens": 1545,
        "last_prompt_tokens": 1200,
        "suspended": False,
        "origin": {
            "platform": "telegram",
            "chat_id": chat(number),
            "chat_name": "Ada Lovelace",
            "chat_type": "dm",
            "user_id": "294573765",
            "user_name": "Ada",
        },
    }


def count_tokens(session: dict[str, object]) -> None:
    """Add to the counters of a document, as the end of a turn does."""
    for name, more in (("input_tokens", 1200), ("output_tokens", 345), ("total_tokens", 1545)):
        before = session[name]
        assert isinstance(before, int)  # noqa: S101 - `document` made it
        session[name] = before + more
    session["updated_at"] = moment()
