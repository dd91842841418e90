"""The gateway's entries as live objects that know what was changed in them.

The gateway changes an entry in place and saves later, all entries at once. Comparing every one of
them on each save would cost more than everything else; so each notes what is set in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redisstore.entry import SessionEntry

_LINK = "_redisstore"


class Link:
    """What ties a live entry to what is stored."""

    def __init__(self, stored: SessionEntry, note: Callable[[Any, str], None]) -> None:
        self.stored = stored
        self.changed: set[str] = set()
        self.note = note
        """Told the entry and the field that was set in it."""


def link_of(entry: Any) -> Link | None:
    """Return what ties an entry to the store; ``None``: it is not from there."""
    link: Link | None = entry.__dict__.get(_LINK)
    return link


def linked(entry: Any, link: Link) -> Any:
    """Tie a new entry to the store, and return it."""
    entry.__dict__[_LINK] = link
    return entry


def live_class(base: type[Any], fields: set[str]) -> type[Any]:
    """Return the gateway's entry class, made to note what is set."""

    class LiveEntry(base):  # type: ignore[misc] # known when the gateway runs
        def __setattr__(self, name: str, value: object) -> None:
            link = link_of(self)
            is_new = link is not None and name in fields and getattr(self, name) != value
            super().__setattr__(name, value)
            if link is not None and is_new:
                link.note(self, name)

    LiveEntry.__name__ = LiveEntry.__qualname__ = base.__name__
    return LiveEntry
