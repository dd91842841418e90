"""A ``sessions.json`` that is replaced as a whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeAlias

from redisstore.errors import InvalidInput

Target: TypeAlias = Callable[[str, str], None]
"""Takes one row after another: the session key, and the row as JSON."""


@contextmanager
def replacing_rows(path: Path) -> Iterator[Target]:
    """Write rows as one JSON object, one row a line, in place of the file that is there.

    Raises:
        InvalidInput: the file can't be written, or what is there is not a file.

    """
    with _replacing(path) as file:
        separator = "{\n"

        def write(key: str, row: str) -> None:
            nonlocal separator
            file.write(f"{separator}{json.dumps(key, ensure_ascii=False)}: {row}")
            separator = ",\n"

        yield write
        file.write("{}\n" if separator == "{\n" else "\n}\n")


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """Write a new file beside the old one and put it in its place at the end, synced, mode 0600.

    After an error the old file is as it was. A symbolic link stays, and its file is replaced.
    """
    goal = Path(os.path.realpath(path))
    if goal.exists() and not goal.is_file():
        raise InvalidInput("path", f"{path} is not a regular file")
    try:
        descriptor, name = tempfile.mkstemp(dir=goal.parent, prefix=f".{goal.name:.40}.")
    except OSError as error:
        raise _refused(path, error) from error
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, goal)  # noqa: PTH105 - a name, as mkstemp gives it
        _sync_directory(goal.parent)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _refused(path, error) from error
        raise


def _sync_directory(directory: Path) -> None:
    """Make the new name durable as well."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput("path", f"{path} can't be written: {error.strerror or error}")
