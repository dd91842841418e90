"""aiogram's RedisStorage: the state of dialogues in a bot framework, one JSON value a chat."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.alternatives.alternative import Alternative, chat, count_tokens, document, moment
from benchmarks.alternatives.plain import pooled


class AiogramStorage(Alternative):
    """Its FSM storage, and for turns its event isolation, a lock in Redis."""

    name, label, concurrent = "aiogram", "aiogram, RedisStorage", True

    async def open(self, sessions: int, *, connections: int) -> None:
        """Connect, and store sessions with the numbers from 0 on."""
        module: Any = importlib.import_module("aiogram.fsm.storage.redis")
        self._storage_key: Any = importlib.import_module("aiogram.fsm.storage.base").StorageKey
        self._client = pooled(self.url, connections)
        self._storage = module.RedisStorage(self._client)
        self._isolation = self._storage.create_isolation()
        for number in range(sessions):
            await self.create(number)

    async def message(self, number: int) -> object:
        """GET, and SET of the whole data of the chat."""
        return await self._message(self._key(number))

    async def create(self, number: int) -> object:
        """SET of the data, whether or not there was any."""
        return await self._storage.set_data(self._key(number), document(number))

    async def turn(self, number: int, message_id: str) -> object:  # noqa: ARG002 - it remembers none
        """Lock the chat; GET and SET at the beginning, SET at the end; unlock."""
        key = self._key(number)
        async with self._isolation.lock(key):
            data = await self._message(key)
            count_tokens(data)
            return await self._storage.set_data(key, data)

    async def _message(self, key: Any) -> dict[str, object]:  # noqa: ANN401 - its own key
        data: dict[str, object] = await self._storage.get_data(key)
        data["updated_at"] = moment()
        await self._storage.set_data(key, data)
        return data

    def _key(self, number: int) -> Any:  # noqa: ANN401 - its own key
        return self._storage_key(bot_id=1, chat_id=int(chat(number)), user_id=int(chat(number)))

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()
