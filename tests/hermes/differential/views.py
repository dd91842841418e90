"""What can be seen of a store, in plain values that compare equal where they should."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from .side import Side

TIMES = ("created_at", "updated_at", "last_resume_marked_at")
NOT_IN_ALL_DICTS = ("was_auto_reset", "auto_reset_reason", "reset_had_activity")

View = Any
"""None, a text, a number, or a list or dictionary of views."""


def entry_view(side: Side, entry: Any) -> View:
    """Return an entry as it would be written, and whether it looks like a new session."""
    if entry is None:
        return None
    view = dict(entry.to_dict())
    view.update({name: getattr(entry, name) for name in NOT_IN_ALL_DICTS})
    view["session_id"] = side.name(entry.session_id)
    view["is_new"] = entry.created_at == entry.updated_at
    for name in TIMES:
        moment: datetime | None = getattr(entry, name)
        view[name] = moment.isoformat(timespec="milliseconds") if moment else None
    return view


def newest_first(side: Side, entries: Iterable[Any]) -> View:
    """Return entries in their order; those of one moment have none, so they go by key."""
    views = [entry_view(side, entry) for entry in entries]
    times = [view["updated_at"] for view in views]
    if times != sorted(times, reverse=True):
        return {"not newest first": times}
    views.sort(key=lambda view: view["session_key"])
    views.sort(key=lambda view: view["updated_at"], reverse=True)
    return views


def by_key(side: Side, pairs: Iterable[tuple[str, Any]]) -> View:
    """Return entries by their keys, which must be those that they carry."""
    return {key: entry_view(side, entry) for key, entry in sorted(pairs, key=lambda pair: pair[0])}


def rows_view(side: Side) -> View:
    """Return the rows of the database: why each has ended, and whose it is."""
    known = {session_id: number for number, session_id in enumerate(side.ids)}
    rows = sorted(side.rows(), key=lambda row: (known.get(row[0], len(known)), row[0]))
    return {side.name(session_id): list(more) for session_id, *more in rows}


def held_view(side: Side) -> View:
    """Return the entries that the gateway has in hand."""
    return {lane: entry_view(side, side.held[lane]) for lane in sorted(side.held)}


class Difference:
    """Where two views differ."""

    def __init__(self, path: tuple[Any, ...], own: View, plugin: View) -> None:
        self.path, self.own, self.plugin = path, own, plugin

    def __repr__(self) -> str:
        where = ".".join(map(str, self.path))
        return f"{where}: the gateway's own store has {self.own!r}, the plugin's {self.plugin!r}"


def differences(own: View, plugin: View, path: tuple[Any, ...] = ()) -> list[Difference]:
    """Return all differences of two views, each as deep inside as it can be told."""
    if isinstance(own, dict) and isinstance(plugin, dict):
        found = []
        for key in {**own, **plugin}:
            found += differences(own.get(key), plugin.get(key), (*path, key))
        return found
    if isinstance(own, list) and isinstance(plugin, list) and len(own) == len(plugin):
        pairs = enumerate(zip(own, plugin, strict=True))
        return [found for i, pair in pairs for found in differences(*pair, (*path, i))]
    return [] if own == plugin else [Difference(path, own, plugin)]
