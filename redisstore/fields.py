"""The entry's hash: which fields it has, and how they turn into a ``SessionEntry`` and back.

Absent means default, flags are ``1`` or absent, times are ms since 1970, money is in nano-dollars.
The origin's fields stand beside the entry's own: its platform and chat type are the entry's unless
``origin_platform`` or ``origin_chat_type`` says otherwise; ``no_origin`` marks an entry without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from redisstore.entry import ModelOverride, SessionEntry
from redisstore.errors import CorruptEntry, EntryTooLarge
from redisstore.keys import SessionKey
from redisstore.source import SessionSource

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST_NUMBER = 2**53
"""Lua's numbers are doubles; whole numbers beyond this would lose digits."""

COUNTERS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "total_tokens",
)
COST = "estimated_cost_nanousd"
_NUMBERS = frozenset({"version", "last_prompt_tokens", *COUNTERS})
_TIMES = frozenset({"created_at", "updated_at", "last_resume_marked_at"})
_FLAGS = frozenset(
    {
        "was_auto_reset",
        "reset_had_activity",
        "is_fresh_reset",
        "expiry_finalized",
        "suspended",
        "resume_pending",
    }
)
_TEXTS = frozenset(
    {
        "session_id",
        "platform",
        "chat_type",
        "display_name",
        "cost_status",
        "auto_reset_reason",
        "resume_reason",
        "replica",
    }
)
_ORIGIN_TEXTS = frozenset(SessionSource.model_fields) - {"platform", "chat_type", "is_bot"}
_OVERRIDE = {f"override_{name}": name for name in ModelOverride.model_fields}
_REQUIRED = ("session_id", "created_at", "updated_at", "version")


def to_ms(moment: datetime) -> int:
    """Return an aware datetime as whole milliseconds since 1970, rounded down."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def from_ms(ms: int) -> datetime:
    """Return milliseconds since 1970 as a datetime in UTC."""
    return EPOCH + timedelta(milliseconds=ms)


def to_nanousd(usd: Decimal) -> int:
    """Return dollars as whole nano-dollars."""
    return int((usd * 1_000_000_000).to_integral_value())


def decode_entry(session_key: SessionKey, redis_key: str, flat: Sequence[bytes]) -> SessionEntry:
    """Build the entry from a reply of field, value, field, value.

    Fields of other versions are passed over.

    Raises:
        CorruptEntry: a required field is missing or a value can't be what it should be.

    """
    values: dict[str, Any] = {"session_key": session_key}
    origin: dict[str, Any] = {}
    override: dict[str, str] = {}
    pairs = iter(flat)
    name = ""
    try:
        for raw_name, raw in zip(pairs, pairs, strict=True):
            name = raw_name.decode()
            if name in _TEXTS:
                values[name] = raw.decode()
            elif name in _NUMBERS:
                values[name] = int(raw)
            elif name in _TIMES:
                values[name] = EPOCH + timedelta(milliseconds=int(raw))
            elif name in _ORIGIN_TEXTS:
                origin[name] = raw.decode()
            elif name in _FLAGS:
                values[name] = raw == b"1"
            elif name == COST:
                values["estimated_cost_usd"] = Decimal(int(raw)).scaleb(-9)
            elif name in _OVERRIDE:
                override[_OVERRIDE[name]] = raw.decode()
            elif name in {"origin_platform", "origin_chat_type"}:
                origin[name.removeprefix("origin_")] = raw.decode()
            elif name in {"is_bot", "no_origin"}:
                origin[name] = raw == b"1"
    except (ValueError, OverflowError) as error:
        problem = f"field {name!r:.60} can't be read: {error}"
        raise CorruptEntry(redis_key, problem) from error
    for required in _REQUIRED:
        if required not in values:
            raise CorruptEntry(redis_key, f"field {required!r} is missing")
    values["origin"] = _decode_origin(origin, values)
    if override:
        values["model_override"] = ModelOverride.model_construct(**override)
    return SessionEntry.model_construct(**values)


def _decode_origin(origin: dict[str, Any], entry: Mapping[str, Any]) -> SessionSource | None:
    platform = origin.setdefault("platform", entry.get("platform"))
    if origin.pop("no_origin", False) or platform is None:
        return None
    origin.setdefault("chat_type", entry.get("chat_type", "dm"))
    return SessionSource.model_construct(**origin)


def encode_new(source: SessionSource) -> dict[str, str]:
    """Return the fields that a new entry takes from the source of its first message."""
    fields = {"platform": source.platform, "chat_type": source.chat_type}
    if source.chat_name is not None:
        fields["display_name"] = source.chat_name
    fields.update(_encode_origin(source))
    return fields


def encode_entry(entry: SessionEntry) -> dict[str, str]:
    """Return all fields of an entry, for an import; its version is the script's to set."""
    fields: dict[str, str] = {"session_id": entry.session_id, "chat_type": entry.chat_type}
    for name in _TIMES:
        moment: datetime | None = getattr(entry, name)
        if moment is not None:
            fields[name] = str(to_ms(moment))
    for name in ("platform", "display_name", "auto_reset_reason", "resume_reason", "replica"):
        text: str | None = getattr(entry, name)
        if text is not None:
            fields[name] = text
    for name in (*COUNTERS, "last_prompt_tokens"):
        if number := getattr(entry, name):
            fields[name] = str(number)
    for name in _FLAGS:
        if getattr(entry, name):
            fields[name] = "1"
    if entry.estimated_cost_usd:
        fields[COST] = str(to_nanousd(entry.estimated_cost_usd))
    if entry.cost_status != "unknown":
        fields["cost_status"] = entry.cost_status
    if entry.model_override is not None:
        fields.update(encode_override(entry.model_override))
    fields.update(_encode_entry_origin(entry))
    return fields


def _encode_entry_origin(entry: SessionEntry) -> Iterator[tuple[str, str]]:
    if entry.origin is None:
        if entry.platform is not None:
            yield "no_origin", "1"
        return
    if entry.origin.platform != entry.platform:
        yield "origin_platform", entry.origin.platform
    if entry.origin.chat_type != entry.chat_type:
        yield "origin_chat_type", entry.origin.chat_type
    yield from _encode_origin(entry.origin)


def _encode_origin(source: SessionSource) -> Iterator[tuple[str, str]]:
    for name in sorted(_ORIGIN_TEXTS):
        text: str | None = getattr(source, name)
        if text is not None:
            yield name, text
    if source.is_bot:
        yield "is_bot", "1"


def encode_override(override: ModelOverride) -> dict[str, str]:
    """Return the fields of a model override that are set."""
    return {
        field: text
        for field, name in _OVERRIDE.items()
        if (text := getattr(override, name)) is not None
    }


def check_size(fields: Mapping[str, str], max_bytes: int) -> None:
    """Refuse a set of fields whose names and values together are over the limit."""
    sizes = {name: len(name) + len(value.encode()) for name, value in fields.items()}
    if (total := sum(sizes.values())) > max_bytes:
        largest = max(sizes, key=sizes.__getitem__)
        raise EntryTooLarge(
            largest, f"takes {sizes[largest]} of {total} bytes, an entry may have {max_bytes}"
        )


def flatten(fields: Iterable[tuple[str, str]]) -> list[str]:
    """Return pairs as one flat list, as a script takes them."""
    return [part for pair in fields for part in pair]
