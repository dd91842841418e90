"""Django's sessions in its cache, which is django-redis: one pickled value a session."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.alternatives.alternative import Alternative, count_tokens, document, moment


class DjangoSessions(Alternative):
    """The session backend `django.contrib.sessions.backends.cache`; no request is handled."""

    name, label, concurrent = "django", "Django sessions, django-redis", False

    async def open(self, sessions: int, *, connections: int) -> None:  # noqa: ARG002 - one is enough
        """Connect, and store sessions with the numbers from 0 on."""
        settings: Any = importlib.import_module("django.conf").settings
        if not settings.configured:
            settings.configure()
        cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": self.url}
        testing: Any = importlib.import_module("django.test.utils")
        self._settings = testing.override_settings(CACHES={"default": cache})
        self._settings.enable()
        self._store: Any = importlib.import_module(
            "django.contrib.sessions.backends.cache"
        ).SessionStore
        self._keys: dict[int, str] = {}
        for number in range(sessions):
            await self.create(number)

    async def message(self, number: int) -> object:
        """GET; then GET, to see whether it is still there, and SET of the whole session."""
        session = self._loaded(number)
        session["updated_at"] = moment()
        return session.save()

    async def create(self, number: int) -> object:
        """SET NX of a session with a key of its own making, and SET."""
        session = self._store()
        session.update(document(number))
        session.save()
        self._keys[number] = session.session_key
        return session.session_key

    async def turn(self, number: int, message_id: str) -> object:  # noqa: ARG002 - it remembers none
        """A message at the beginning, and another one at the end: it has no turns."""
        await self.message(number)
        session = self._loaded(number)
        fields = dict(session.items())
        count_tokens(fields)
        session.update(fields)
        return session.save()

    def _loaded(self, number: int) -> Any:  # noqa: ANN401 - its own session
        session = self._store(self._keys[number])
        if "session_id" not in session:
            raise RuntimeError(f"Django has lost session {number}")
        return session

    async def close(self) -> None:
        """Disconnect."""
        importlib.import_module("django.core.cache").close_caches()
        self._settings.disable()
