"""Flask-Session: sessions of Flask, one msgpack value a session."""

from __future__ import annotations

import importlib
from typing import Any

import redis

from benchmarks.alternatives.alternative import Alternative, count_tokens, document, moment


class FlaskSession(Alternative):
    """Its Redis session interface, with requests that carry the cookie; no request is handled."""

    name, label, concurrent = "flask_session", "Flask-Session, Redis interface", False

    async def open(self, sessions: int, *, connections: int) -> None:  # noqa: ARG002 - one is enough
        """Connect, and store sessions with the numbers from 0 on."""
        flask: Any = importlib.import_module("flask")
        self._client = redis.Redis.from_url(self.url)
        self._app = flask.Flask("benchmark")
        interfaces: Any = importlib.import_module("flask_session.redis")
        self._sessions = interfaces.RedisSessionInterface(self._app, client=self._client)
        self._response: Any = flask.Response
        self._cookie = self._app.config["SESSION_COOKIE_NAME"]
        self._new = self._request({})
        self._requests: dict[int, Any] = {}
        for number in range(sessions):
            sid = await self.create(number)
            self._requests[number] = self._request({"Cookie": f"{self._cookie}={sid}"})

    async def message(self, number: int) -> object:
        """GET, and SET of the whole session."""
        session = self._loaded(number)
        session["updated_at"] = moment()
        return self._saved(session)

    async def create(self, number: int) -> object:
        """SET of a session with an id of its own making."""
        session = self._sessions.open_session(self._app, self._new)
        session.update(document(number))
        return self._saved(session)

    async def turn(self, number: int, message_id: str) -> object:  # noqa: ARG002 - it remembers none
        """A message at the beginning, and another one at the end: it has no turns."""
        await self.message(number)
        session = self._loaded(number)
        count_tokens(session)
        return self._saved(session)

    def _loaded(self, number: int) -> Any:  # noqa: ANN401 - its own session
        session = self._sessions.open_session(self._app, self._requests[number])
        if not session:
            raise RuntimeError(f"Flask-Session has lost session {number}")
        return session

    def _saved(self, session: Any) -> object:  # noqa: ANN401 - likewise
        self._sessions.save_session(self._app, session, self._response())
        return session.sid

    def _request(self, headers: dict[str, str]) -> Any:  # noqa: ANN401 - Flask's own request
        return self._app.test_request_context("/", headers=headers).request

    async def close(self) -> None:
        """Disconnect."""
        self._client.close()
