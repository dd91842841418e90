"""Callbacks that a caller gives."""

from __future__ import annotations

from inspect import iscoroutinefunction

from redisstore.errors import InvalidInput, short_repr


def check_plain(field_name: str, callback: object) -> None:
    """Raise ``InvalidInput`` unless it is ``None``, or a function that need not be awaited."""
    if callback is None:
        return
    if not callable(callback):
        raise InvalidInput(field_name, f"must be a function, not {short_repr(callback)}")
    if iscoroutinefunction(callback) or iscoroutinefunction(callback.__call__):
        raise InvalidInput(field_name, "must be a plain function: nothing awaits what it returns")
