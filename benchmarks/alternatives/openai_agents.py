"""openai-agents' RedisSession: the messages of a conversation, a list beside a small hash."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.alternatives.alternative import Alternative, chat
from benchmarks.alternatives.plain import pooled

_HISTORY = 10
_TEXT = "What is the weather like in Bristol, and what will it be tomorrow?"


class OpenAIAgents(Alternative):
    """A session object for each message, as a run of an agent makes one."""

    name, label, concurrent = "openai_agents", "openai-agents, RedisSession", True

    async def open(self, sessions: int, *, connections: int) -> None:
        """Connect, and store conversations with the numbers from 0 on."""
        memory: Any = importlib.import_module("agents.extensions.memory.redis_session")
        self._session: Any = memory.RedisSession
        self._client = pooled(self.url, connections)
        for number in range(sessions):
            await self._of(number).add_items([_item("user")] * _HISTORY)

    async def message(self, number: int) -> object:
        """Load the latest items, and add one, which records the activity."""
        session = self._of(number)
        history = await session.get_items(limit=_HISTORY)
        await session.add_items([_item("user")])
        return history

    async def create(self, number: int) -> object:
        """Add the first item."""
        return await self._of(number).add_items([_item("user")])

    async def turn(self, number: int, message_id: str) -> object:  # noqa: ARG002 - it remembers none
        """A message, and the answer added: it has neither turns nor counters."""
        await self.message(number)
        return await self._of(number).add_items([_item("assistant")])

    def _of(self, number: int) -> Any:  # noqa: ANN401 - its own session
        return self._session(chat(number), redis_client=self._client)

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()


def _item(role: str) -> dict[str, str]:
    return {"role": role, "content": _TEXT}
