"""The file as rows, parsed one at a time: it takes its text's memory, not ten times that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path

from redisstore.errors import InvalidInput
from redisstore.transfer.layer import Layer, Row

_SPACE = re.compile(r"[ \t\n\r]*")
_MOST_DIGITS = 20
NOTE = "_"
"""What the names of notes begin with; a session key never does."""


def _whole(digits: str) -> int | Decimal:
    """Read a whole number; one too long to be a count is none, so that only its row is bad."""
    return int(digits) if len(digits) <= _MOST_DIGITS else _decimal(digits)


def _decimal(digits: str) -> Decimal:
    """Read any other number; JSON allows exponents that no number of ours has."""
    try:
        return Decimal(digits)
    except InvalidOperation:
        return Decimal("NaN")


DECODER = json.JSONDecoder(parse_int=_whole, parse_float=_decimal, parse_constant=_decimal)


class Document:
    """The rows of one ``sessions.json``, notes left out. A key that stands twice is two rows."""

    def __init__(self, text: str) -> None:
        """Find the rows; raises ``json.JSONDecodeError`` where the text is no JSON object."""
        self._text = text
        self._rows = [row for row in _places(text) if not row[0].startswith(NOTE)]

    @classmethod
    def load(cls, path: Path) -> Document:
        """Read a file; raises ``InvalidInput`` if that can't be done or it is no JSON object."""
        try:
            return cls(path.read_text("utf-8-sig"))
        except OSError as error:
            raise InvalidInput(
                "path", f"{path} can't be read: {error.strerror or error}"
            ) from error
        except UnicodeDecodeError as error:
            raise InvalidInput("path", f"{path} is not UTF-8: {error.reason}") from error
        except json.JSONDecodeError as error:
            raise InvalidInput("path", f"{path} is no JSON object of sessions: {error}") from error
        except ValueError as error:
            raise InvalidInput("path", f"{path!r} is no file name: {error}") from error
        except RecursionError as error:
            raise InvalidInput("path", f"{path} is nested too deeply to be sessions") from error

    def __iter__(self) -> Iterator[tuple[str, object]]:
        """Yield session key and row; the row can be any JSON value."""
        for key, at in self._rows:
            yield key, self._value(at)

    def layer(self) -> Layer:
        """Return the rows by session key."""
        layer: Layer = {}
        for key, at in self._rows:
            layer.setdefault(key, []).append(Row("sessions.json", partial(self._value, at)))
        return layer

    def _value(self, at: int) -> object:
        return DECODER.raw_decode(self._text, at)[0]


def _places(text: str) -> Iterator[tuple[str, int]]:
    """Yield each key of the object that the text is, and where its value begins."""
    at = _expect(text, 0, "{")
    separator = ","
    if text[at : at + 1] == "}":
        separator, at = "}", at + 1
    while separator == ",":
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting a session key", text, at)
        key, at = DECODER.raw_decode(text, at)
        at = _expect(text, at, ":")
        yield key, at
        _, at = DECODER.raw_decode(text, at)
        at = _skip(text, at)
        separator = text[at : at + 1]
        at = _expect(text, at, ",}")
    if _skip(text, at) != len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _expect(text: str, at: int, characters: str) -> int:
    """Return where the text goes on behind one of the characters and white space."""
    at = _skip(text, at)
    if at >= len(text) or text[at] not in characters:
        raise json.JSONDecodeError(f"Expecting {' or '.join(characters)}", text, at)
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
