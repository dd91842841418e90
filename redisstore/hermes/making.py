"""The gateway's store class, made for the version that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisstore.hermes.conversion import Converter
from redisstore.hermes.entries import Entries
from redisstore.hermes.store import SharedSessions

if TYPE_CHECKING:
    from redisstore.hermes.plugin import Plugin


def shared(base: type[Any], module: Any, plugin: Plugin) -> type[Any]:
    """Return the gateway's store class with its sessions in Redis.

    ``module``: the gateway's ``session`` module, which has the other classes.
    """

    class SharedSessionStore(SharedSessions, base):  # type: ignore[misc] # known when it runs
        def _make_view(self) -> Entries:
            entry_class, source_class = module.SessionEntry, module.SessionSource
            converter = Converter(entry_class, source_class, module.Platform)
            return Entries(self.shared, converter, entry_class, plugin.turns.on)

    SharedSessionStore.plugin = plugin
    SharedSessionStore.__name__ = SharedSessionStore.__qualname__ = base.__name__
    return SharedSessionStore
