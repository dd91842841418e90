"""starsessions: sessions of Starlette and FastAPI, one JSON value a session."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.alternatives.alternative import Alternative, count_tokens, document, moment
from benchmarks.alternatives.plain import pooled

_LIFETIME = 90 * 86_400


class Starsessions(Alternative):
    """Its session handler on its Redis store, without the middleware around them."""

    name, label, concurrent = "starsessions", "starsessions, RedisStore", True

    async def open(self, sessions: int, *, connections: int) -> None:
        """Connect, and store sessions with the numbers from 0 on."""
        self._handler: Any = importlib.import_module("starsessions.session").SessionHandler
        self._connection: Any = importlib.import_module("starlette.requests").HTTPConnection
        self._serializer = importlib.import_module("starsessions").JsonSerializer()
        self._client = pooled(self.url, connections)
        stores: Any = importlib.import_module("starsessions.stores.redis")
        self._store = stores.RedisStore(connection=self._client)
        for number in range(sessions):
            await self.create(number)

    async def message(self, number: int) -> object:
        """GET, and SET of the whole session."""
        handler = await self._loaded(number)
        handler.connection.session["updated_at"] = moment()
        return await handler.save(_LIFETIME)

    async def create(self, number: int) -> object:
        """GET, which finds nothing, and SET."""
        handler = await self._loaded(number)
        handler.connection.session.update(document(number))
        return await handler.save(_LIFETIME)

    async def turn(self, number: int, message_id: str) -> object:  # noqa: ARG002 - it remembers none
        """A message at the beginning, and another one at the end: it has no turns."""
        await self.message(number)
        handler = await self._loaded(number)
        count_tokens(handler.connection.session)
        return await handler.save(_LIFETIME)

    async def _loaded(self, number: int) -> Any:  # noqa: ANN401 - its own handler
        connection = self._connection({"type": "http"})
        handler = self._handler(
            connection, f"{number:032x}", self._store, self._serializer, _LIFETIME
        )
        await handler.load()
        return handler

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()
