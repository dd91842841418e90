"""Text that may go into Redis: strict UTF-8, bounded, and what an identifier looks like."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from redisstore.errors import EntryTooLarge, InvalidInput


def encodable(text: str) -> str:
    """Return a text that has a UTF-8 form; ``ValueError`` for one with a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(_lone_surrogate(error)) from error
    return text


def _lone_surrogate(error: UnicodeEncodeError) -> str:
    return f"holds a lone surrogate at index {error.start}"


Text = Annotated[str, StringConstraints(strict=True), AfterValidator(encodable)]
"""Free text, such as a display name: anything that has a UTF-8 form."""

Identifier = Annotated[Text, StringConstraints(min_length=1)]
"""A chat, user or thread id: any text but the empty one (leave an unknown id out)."""

Word = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
"""A platform or chat type: it stands between colons in a session key."""


def checked_text(field: str, value: object, *, max_bytes: int) -> str:
    """Return ``value`` if it can be stored as it is.

    Raises:
        InvalidInput: it is no string, it is empty, or it holds a lone surrogate, which has no
            UTF-8 form.
        EntryTooLarge: its UTF-8 form is longer than ``max_bytes``.

    """
    if not isinstance(value, str):
        raise InvalidInput(field, f"must be a string, not {type(value).__name__}")
    if not value:
        raise InvalidInput(field, "must not be empty")
    if len(value) > max_bytes:
        raise EntryTooLarge(field, f"has {len(value)} characters, the limit is {max_bytes} bytes")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        problem = f"{_lone_surrogate(error)}; text must be valid Unicode"
        raise InvalidInput(field, problem) from error
    if size > max_bytes:
        raise EntryTooLarge(field, f"takes {size} bytes, the limit is {max_bytes}")
    return value
