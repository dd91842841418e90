"""The sessions that stores are filled with: copies of one in any number, and real ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from redisstore import SessionEntry, SessionId, SessionKey, SessionSource, SessionStore
from redisstore.calls.call import Context
from redisstore.fields import to_ms
from redisstore.keys import Partition
from redisstore.transfer.document import Document
from redisstore.transfer.reading import RowReader
from redisstore.transfer.report import BadRow
from tests.servers import Server

REAL_FILE = Path(__file__).parent.parent / "tests" / "data" / "hermes-0.19" / "sessions.json"
"""600 sessions of a year, as the gateway that keeps them in one file wrote them."""
_SCRIPT = Path(__file__).with_name("copies.lua").read_text("utf-8")
_LANE = "agent:main:telegram:dm:"
_COPIES_A_CALL = 1000
_RANDOM_DIGITS = 8
"""At the end of a session id that the gateway has made."""


def chat_id(stem: str, number: int) -> str:
    """Return the chat id of a copy, as ``copies.lua`` makes it."""
    return f"{stem}{number:07d}"


def source(chat: str) -> SessionSource:
    """Return where the messages of a chat come from."""
    return SessionSource(
        platform="telegram",
        chat_id=chat,
        chat_name="Ada Lovelace",
        user_id="294573765",
        user_name="Ada",
    )


def _session_id(chat: str) -> SessionId:
    """Return the session id of a copy, as ``copies.lua`` makes it."""
    digest = hashlib.sha1(chat.encode(), usedforsecurity=False).hexdigest()
    return SessionId(f"20260101_000000_{digest[:12]}")


def fill(
    server: Server,
    store: SessionStore,
    stem: str,
    count: int,
    *,
    updated_at: datetime,
    step: timedelta = timedelta(0),
    suspended: bool = False,
) -> None:
    """Store sessions with the chat ids ``stem`` and a number, from 0 on.

    The first is stored by ``import_sessions``; the server itself makes the others from it.
    ``updated_at`` is the last activity of number 0; each next one is ``step`` later. Whole
    milliseconds are what the store keeps, so a smaller step is none.
    """
    first = chat_id(stem, 0)
    entry = SessionEntry(
        session_key=SessionKey(_LANE + first),
        session_id=_session_id(first),
        created_at=updated_at - timedelta(days=1),
        updated_at=updated_at,
        version=1,
        origin=source(first),
        display_name="Ada Lovelace",
        platform="telegram",
        replica="benchmark",
        input_tokens=1200,
        output_tokens=345,
        total_tokens=1545,
        suspended=suspended,
    )
    store_all(store, [entry])
    _, home = layout(store)
    copy: Any = server.client().register_script(_SCRIPT)
    for done in range(1, count, _COPIES_A_CALL):
        copies = min(_COPIES_A_CALL, count - done)
        copy(
            keys=[home.prefix, home.entry(entry.session_key)],
            args=[_LANE, stem, done, copies, to_ms(updated_at), step // timedelta(milliseconds=1)],
        )


def check(store: SessionStore) -> None:
    """Audit all that is stored; raises ``RuntimeError`` with the first faults found."""
    faults = list(islice(store.audit(), 3))
    if faults:
        raise RuntimeError(f"what was to be measured is not as the store writes it: {faults}")


def layout(store: SessionStore) -> tuple[Context, Partition]:
    """Return what the calls of a filled store are made from, and its one partition."""
    context = store.layout()
    if context is None:
        raise RuntimeError("the store is empty")
    (home,) = context.space.partitions
    return context, home


def store_all(store: SessionStore, entries: Iterable[SessionEntry]) -> None:
    """Import entries into a store that has none of them."""
    for entry, verdict in store.import_sessions(entries):
        if verdict != "created":
            raise RuntimeError(f"{entry.session_key} was not stored: {verdict}")


def real_entries(count: int) -> list[SessionEntry]:
    """Return the real sessions, and copies of them with other keys until there are enough.

    A copy's key is at most three bytes longer, its id as long as the original's, and as random.
    """
    reader = RowReader(ZoneInfo("UTC"))
    rows = [reader.read(key, row) for key, row in Document.load(REAL_FILE)]
    originals = [row for row in rows if not isinstance(row, BadRow)]
    return [
        entry.model_copy(
            update={
                "session_key": SessionKey(entry.session_key + mark),
                "session_id": _copied_id(entry.session_id, mark),
            }
        )
        for entry, mark in _marked(originals, count)
    ]


def _copied_id(original: SessionId, mark: str) -> SessionId:
    if not mark:
        return original
    digest = hashlib.sha1(f"{original} {mark}".encode(), usedforsecurity=False).hexdigest()
    return SessionId(original[:-_RANDOM_DIGITS] + digest[:_RANDOM_DIGITS])


def real_rows(count: int) -> dict[str, dict[str, Any]]:
    """Return the real file's rows, multiplied in the same way."""
    document: dict[str, Any] = json.loads(REAL_FILE.read_text("utf-8"))
    originals = [row for key, row in document.items() if not key.startswith("_")]
    return {
        row["session_key"] + mark: {**row, "session_key": row["session_key"] + mark}
        for row, mark in _marked(originals, count)
    }


def _marked(originals: list[Any], count: int) -> Iterator[tuple[Any, str]]:
    """Yield originals round and round, each with what sets this copy of it apart."""
    for number, original in enumerate(islice(cycle(originals), count)):
        round_ = number // len(originals)
        yield original, f"{round_:03x}" if round_ else ""


def now() -> datetime:
    """Return this moment in whole milliseconds, as the store keeps it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
