"""Files such as the gateway writes, and the way through either face."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from redisstore import SessionKey, SessionStore
from redisstore.transfer import (
    ExportReport,
    ImportReport,
    VerifyReport,
    export_file,
    export_file_async,
    import_file,
    import_file_async,
    verify_file,
    verify_file_async,
)
from tests.faces import Blocking

DATA = Path(__file__).parents[1] / "data"
GATEWAY_FILE = DATA / "hermes-0.19" / "sessions.json"
GATEWAY_DATABASE = DATA / "hermes-0.19" / "state.db"
GATEWAY_SCOPE = "/var/lib/hermes/sessions"
KEY = SessionKey("agent:main:telegram:dm:42")
Row: TypeAlias = dict[str, Any]
Put: TypeAlias = Callable[[object], Path]


def row(**fields: object) -> Row:
    return {
        "session_key": KEY,
        "session_id": "20260101_100000_abcdef01",
        "created_at": "2026-01-01T10:00:00",
        "updated_at": "2026-01-02T10:00:00.123456",
        "origin": {"platform": "telegram", "chat_id": "42"},
        "platform": "telegram",
        **fields,
    }


def origin(**fields: object) -> Row:
    return row(origin={"platform": "telegram", "chat_id": "42", **fields})


def carry_in(store: SessionStore, path: Path, zone: str = "UTC", **options: Any) -> ImportReport:
    """Import through the face that the store has."""
    face: object = store
    if isinstance(face, Blocking):
        work = import_file_async(face._store, path, zone=zone, **options)
        return face._loop.run_until_complete(work)
    return import_file(store, path, zone=zone, **options)


def compare(store: SessionStore, path: Path, zone: str = "UTC", **options: Any) -> VerifyReport:
    face: object = store
    if isinstance(face, Blocking):
        work = verify_file_async(face._store, path, zone=zone, **options)
        return face._loop.run_until_complete(work)
    return verify_file(store, path, zone=zone, **options)


def carry_out(store: SessionStore, path: Path, zone: str = "UTC", **options: Any) -> ExportReport:
    face: object = store
    if isinstance(face, Blocking):
        work = export_file_async(face._store, path, zone=zone, **options)
        return face._loop.run_until_complete(work)
    return export_file(store, path, zone=zone, **options)


def put(directory: Path, content: object) -> Path:
    """Write a ``sessions.json``: text as it is, anything else as JSON."""
    path = directory / "sessions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def rows_in(path: Path) -> dict[str, Row]:
    """Return what the gateway's loader gets from a file."""
    rows: dict[str, Row] = json.loads(path.read_text())
    return {key: row for key, row in rows.items() if not key.startswith("_")}


def whole_ms(row: Row) -> Row:
    """Return a row's times cut to milliseconds."""
    times = {name: row[name] for name in ("created_at", "updated_at", "last_resume_marked_at")}
    return {name: text and text[:-3] + "000" for name, text in times.items()}


COUNTERS = {
    "input_tokens": 1,
    "output_tokens": 2,
    "cache_read_tokens": 3,
    "cache_write_tokens": 4,
    "total_tokens": 10,
    "last_prompt_tokens": 6,
}
FLAGS = dict.fromkeys(
    (
        "was_auto_reset",
        "reset_had_activity",
        "is_fresh_reset",
        "expiry_finalized",
        "suspended",
        "resume_pending",
    ),
    True,
)
TEXTS = {
    "display_name": "Ólafur {x}\n*",
    "cost_status": "estimated",
    "auto_reset_reason": "idle",
    "resume_reason": "restart_timeout",
    "chat_type": "thread",
}
FULL = row(
    **COUNTERS,
    **FLAGS,
    **TEXTS,
    estimated_cost_usd=0.1,
    last_resume_marked_at="2026-01-02T11:00:00",
    model_override={"model": "m", "provider": "p", "base_url": "https://h/v1"},
    origin={
        "platform": "discord",
        "chat_id": "42",
        "chat_name": "A",
        "chat_type": "group",
        "user_id": "7",
        "user_name": "B",
        "thread_id": "9",
        "chat_topic": "C",
        "user_id_alt": "7a",
        "chat_id_alt": "42a",
        "scope_id": "g",
        "guild_id": "g",
        "parent_chat_id": "41",
        "message_id": "m1",
        "is_bot": True,
        "profile": "work",
        "auto_thread_created": True,
        "auto_thread_initial_name": "D",
    },
)
