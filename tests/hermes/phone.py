"""The stand-in for the messaging server, and the people who write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redisstore import SessionKey, SessionSource, build_session_key

from .web import Answer, Web

__all__ = ["Chat", "Phone"]


@dataclass(frozen=True, slots=True)
class Chat:
    """A person who writes to the gateway, each in a conversation of their own."""

    address: str

    @property
    def guid(self) -> str:
        return f"iMessage;-;{self.address}"

    @property
    def session_key(self) -> SessionKey:
        """The lane that all gateways have for this conversation."""
        return build_session_key(SessionSource(platform="bluebubbles", chat_id=self.guid))

    def message(self, text: str, guid: str) -> dict[str, Any]:
        """What the messaging server delivers to a gateway."""
        data = {
            "guid": guid,
            "text": text,
            "isFromMe": False,
            "handle": {"address": self.address},
            "chats": [{"guid": self.guid}],
        }
        return {"type": "new-message", "data": data}


class Phone(Web):
    """Takes what gateways send, and remembers the texts."""

    def __init__(self) -> None:
        super().__init__()
        self._sent: list[tuple[str, str]] = []

    def texts(self, chat: Chat) -> list[str]:
        """What a person was sent, in order."""
        return [text for guid, text in self._sent if guid == chat.guid]

    def answer(self, path: str, document: dict[str, Any]) -> Answer:
        if path == "/api/v1/message/text":
            self._sent.append((document["chatGuid"], document["message"]))
        return {"status": 200, "data": {}}
