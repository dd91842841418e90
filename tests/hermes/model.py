"""The stand-in for the language model: its answer names the message, and can be held back."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .web import Answer, Web

__all__ = ["Held", "Model", "Request", "answer_to"]

_NAME = re.compile(r"\bmsg-[a-z0-9-]+")
_PATIENCE = 60


def answer_to(name: str) -> str:
    """What the model says to a message whose text has that name in it."""
    return f"This is the answer to {name}."


class Request:
    """One request of a turn: the message it is about, and all that was said before it."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        texts = [str(one.get("content")) for one in messages]
        self.text = texts[-1]
        self.history = "\n".join(texts[1:-1])
        names = _NAME.findall(self.text)
        self.name: str = names[-1] if names else "nothing"


class Held:
    """An answer that is kept back until the test lets it go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._asked = threading.Event()
        self._released = threading.Event()

    def wait(self) -> None:
        """Return when a gateway is in the middle of this turn."""
        assert self._asked.wait(_PATIENCE), f"nobody asked the model about {self.name}"

    def release(self) -> None:
        self._released.set()

    def pass_through(self) -> None:
        """What the thread of a request does."""
        self._asked.set()
        self._released.wait()


class Model(Web):
    """Chat completions, in one piece and as a stream."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self._held: dict[str, Held] = {}

    @contextmanager
    def holding(self, name: str) -> Iterator[Held]:
        """Keep the answers to a message back until they are released, or the block ends."""
        held = self._held[name] = Held(name)
        try:
            yield held
        finally:
            del self._held[name]
            held.release()

    def asked(self, name: str) -> int:
        """How many requests were about a message."""
        return sum(request.name == name for request in self.requests)

    def requests_after(self, name: str) -> list[Request]:
        """The requests of a conversation since a message, which is in their history."""
        return [request for request in self.requests if name in request.history]

    def last_request(self, name: str) -> Request:
        """The latest request about a message, which was asked."""
        return next(one for one in reversed(self.requests) if one.name == name)

    def answer(self, path: str, document: dict[str, Any]) -> Answer:
        if not path.endswith("/chat/completions"):
            return {"object": "list", "data": [{"id": "stub", "object": "model"}]}
        text = self._answer(document)
        return _stream(text) if document.get("stream") else _whole(text)

    def _answer(self, document: dict[str, Any]) -> str:
        # Only turns offer tools; what else is asked, such as for a title, is none.
        if "tools" not in document:
            return "A title"
        request = Request(document["messages"])
        self.requests.append(request)
        held = self._held.get(request.name)
        if held is not None:
            held.pass_through()
        return answer_to(request.name)


_USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


def _whole(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "choices": [choice], "usage": _USAGE}


def _stream(text: str) -> Iterator[dict[str, Any]]:
    chunk = {"id": "1", "object": "chat.completion.chunk", "model": "stub"}
    delta = {"role": "assistant", "content": text}
    yield {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    ending = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield {**chunk, "choices": [ending], "usage": _USAGE}
