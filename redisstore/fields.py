"""The entry's hash: which fields it has, and how they turn into a ``SessionEntry`` and back.

Absent means default, flags are ``1`` or absent, times are ms since 1970, money is in nano-dollars.
The origin's fields stand beside the entry's own: its platform and chat type are the entry's unless
``origin_platform`` or ``origin_chat_type`` says otherwise; ``no_origin`` marks an entry without.
The display name is the chat's unless it is there itself, or ``no_display_name`` is. Long texts of
the origin are in pieces.
Fields that are not listed here belong to another version; they are passed over and left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel

from redisstore.entry import ModelOverride, SessionEntry
from redisstore.errors import CorruptEntry, InvalidInput, short_repr
from redisstore.keys import SessionId, SessionKey
from redisstore.size import append_pieces, in_pieces
from redisstore.source import SessionSource
from redisstore.text import encodable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
LARGEST_NUMBER = 2**53 - 1
"""Lua's numbers are doubles; whole numbers beyond this would lose digits."""

ModelT = TypeVar("ModelT", bound=BaseModel)

COUNTERS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "total_tokens",
)
COST = "estimated_cost_nanousd"


def to_ms(moment: datetime) -> int:
    """Return an aware datetime as whole milliseconds since 1970, rounded down."""
    return (moment - EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    """Return milliseconds since 1970 as a datetime in UTC."""
    return EPOCH + ms * _MS


def to_nanousd(usd: Decimal) -> int:
    """Return dollars as whole nano-dollars; ``OverflowError`` for what no script could count."""
    nanousd = (usd * 1_000_000_000).to_integral_value()
    if abs(nanousd) > LARGEST_NUMBER:
        raise OverflowError(f"{usd:.3e} dollars are more than 2^53 nano-dollars")
    return int(nanousd)


class _Kind(NamedTuple):
    """How a value is read from a hash field, and written; ``None``: its default, left out.

    ``None`` and false are defaults wherever they are allowed, and never come here to be written.
    """

    read: Callable[[bytes], Any]
    write: Callable[[Any], str | None]


def _counted(number: int) -> str:
    if not 0 <= number <= LARGEST_NUMBER:
        raise ValueError(f"{short_repr(number)} is not from 0 to 2^53")
    return str(number)


def _since_epoch(moment: datetime) -> str:
    if moment < EPOCH:
        raise ValueError(f"{moment} is before 1970")
    return str(to_ms(moment))


_TEXT = _Kind(bytes.decode, encodable)
_NUMBER = _Kind(int, lambda number: _counted(number) if number else None)
_FLAG = _Kind(lambda raw: raw == b"1", lambda flag: "1" if flag else None)
_TIME = _Kind(lambda raw: from_ms(int(raw)), _since_epoch)
_MONEY = _Kind(
    lambda raw: Decimal(int(raw)).scaleb(-9), lambda usd: _counted(to_nanousd(usd)) if usd else None
)
_COST_STATUS = _Kind(
    bytes.decode, lambda status: None if status == "unknown" else encodable(status)
)

_ENTRY: dict[str, tuple[str, _Kind]] = {
    "session_id": ("session_id", _TEXT),
    "created_at": ("created_at", _TIME),
    "updated_at": ("updated_at", _TIME),
    "platform": ("platform", _TEXT),
    "chat_type": ("chat_type", _TEXT),
    "display_name": ("display_name", _TEXT),
    "replica": ("replica", _TEXT),
    **{name: (name, _NUMBER) for name in (*COUNTERS, "last_prompt_tokens")},
    COST: ("estimated_cost_usd", _MONEY),
    "cost_status": ("cost_status", _COST_STATUS),
    "was_auto_reset": ("was_auto_reset", _FLAG),
    "auto_reset_reason": ("auto_reset_reason", _TEXT),
    "reset_had_activity": ("reset_had_activity", _FLAG),
    "is_fresh_reset": ("is_fresh_reset", _FLAG),
    "previous_session_id": ("previous_session_id", _TEXT),
    "expiry_finalized": ("expiry_finalized", _FLAG),
    "suspended": ("suspended", _FLAG),
    "resume_pending": ("resume_pending", _FLAG),
    "resume_reason": ("resume_reason", _TEXT),
    "last_resume_marked_at": ("last_resume_marked_at", _TIME),
    "interruptions": ("interruptions", _NUMBER),
}
_ORIGIN: dict[str, tuple[str, _Kind]] = {
    name: (name, _FLAG if field.annotation is bool else _TEXT)
    for name, field in SessionSource.model_fields.items()
    if name not in {"platform", "chat_type"}
}
_ORIGIN_APART: dict[str, tuple[str, _Kind]] = {
    "origin_platform": ("platform", _TEXT),
    "origin_chat_type": ("chat_type", _TEXT),
    "no_origin": ("no_origin", _FLAG),
}
_OVERRIDE: dict[str, tuple[str, _Kind]] = {
    f"override_{name}": (name, _TEXT) for name in ModelOverride.model_fields
}

_OF_SCRIPTS = ("last_call", "id_home", "finalize_token", "finalize_tries", "finalize_error")
_NO_DISPLAY_NAME = "no_display_name"
FIELDS = ("version", *_OF_SCRIPTS, *_ENTRY, _NO_DISPLAY_NAME, *_ORIGIN, *_ORIGIN_APART, *_OVERRIDE)
"""Every field of the hash that this version knows; some are the scripts' own."""

_ENTRY_PART, _ORIGIN_PART, _OVERRIDE_PART = range(3)
_READERS: dict[bytes, tuple[int, str, Callable[[bytes], Any]]] = {
    field.encode(): (part, attribute, kind.read)
    for part, fields in (
        (_ENTRY_PART, {**_ENTRY, "version": ("version", _NUMBER)}),
        (_ENTRY_PART, {_NO_DISPLAY_NAME: (_NO_DISPLAY_NAME, _FLAG)}),
        (_ORIGIN_PART, {**_ORIGIN, **_ORIGIN_APART}),
        (_OVERRIDE_PART, _OVERRIDE),
    )
    for field, (attribute, kind) in fields.items()
}
_REQUIRED = ("session_id", "created_at", "updated_at", "version")

# What stored values are put into: all else is at its default.
_BLANK_ENTRY = SessionEntry.model_construct(
    session_key=SessionKey(""),
    session_id=SessionId(""),
    created_at=EPOCH,
    updated_at=EPOCH,
    version=0,
)
_BLANK_ORIGIN = SessionSource.model_construct(platform="")
_BLANK_OVERRIDE = ModelOverride.model_construct()


Hash: TypeAlias = Sequence[bytes] | Mapping[bytes, bytes]
"""The fields of a hash as a script answers them: field, value, field, value, or a map in RESP3."""


def pairs_of(reply: Hash) -> Iterable[tuple[bytes, bytes]]:
    """Return each field of a reply with its value."""
    if isinstance(reply, dict):
        return reply.items()
    parts: Iterator[bytes] = iter(reply)
    return zip(parts, parts, strict=True)


def decode_entry(session_key: SessionKey, redis_key: str, reply: Hash) -> SessionEntry:
    """Build the entry from a reply of its fields.

    Raises:
        CorruptEntry: a required field is missing or a value can't be what it should be.
    """
    values: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = ({}, {}, {})
    raw_name, pieces = b"", []
    try:
        for raw_name, raw in pairs_of(reply):
            if raw_name in _READERS:
                part, attribute, read = _READERS[raw_name]
                values[part][attribute] = read(raw)
            elif b" " in raw_name:
                pieces.append((raw_name, raw.decode()))
    except (ValueError, OverflowError) as error:
        name = raw_name.decode(errors="backslashreplace")
        raise CorruptEntry(redis_key, f"field {name} can't be read: {error}") from error
    entry, origin, override = values
    for required in _REQUIRED:
        if required not in entry:
            raise CorruptEntry(redis_key, f"field {required} is missing")
    if pieces:
        append_pieces(pieces, origin)
    if not entry.pop(_NO_DISPLAY_NAME, False) and "chat_name" in origin:
        entry.setdefault("display_name", origin["chat_name"])
    entry["session_key"] = session_key
    entry["origin"] = _decode_origin(origin, entry)
    if override:
        entry["model_override"] = _filled(_BLANK_OVERRIDE, override)
    return _filled(_BLANK_ENTRY, entry)


def _filled(blank: ModelT, values: dict[str, Any]) -> ModelT:
    """Return a model with these values; a tenth of the cost of pydantic's ``model_construct``.

    That looks up each default anew. These four attributes are all that it sets in the end.
    """
    kind = type(blank)
    model = kind.__new__(kind)
    object.__setattr__(model, "__dict__", {**blank.__dict__, **values})
    object.__setattr__(model, "__pydantic_fields_set__", set(values))
    object.__setattr__(model, "__pydantic_extra__", None)
    object.__setattr__(model, "__pydantic_private__", None)
    return model


def _decode_origin(origin: dict[str, Any], entry: Mapping[str, Any]) -> SessionSource | None:
    platform = origin.setdefault("platform", entry.get("platform"))
    if origin.pop("no_origin", False) or platform is None:
        return None
    origin.setdefault("chat_type", entry.get("chat_type", "dm"))
    return _filled(_BLANK_ORIGIN, origin)


def encode_new(source: SessionSource) -> dict[str, str]:
    """Return the fields that a new entry takes from the source of its first message."""
    fields = {"platform": source.platform, "chat_type": source.chat_type}
    fields.update(in_pieces(_written(source, _ORIGIN)))
    return fields


def encode_entry(entry: SessionEntry) -> dict[str, str]:
    """Return all fields of an entry, for an import; its version is the script's to set."""
    fields = dict(_written(entry, _ENTRY))
    if entry.model_override is not None:
        fields.update(encode_override(entry.model_override))
    if entry.origin is not None:
        fields.update(in_pieces(_written(entry.origin, _ORIGIN)))
        if entry.display_name == entry.origin.chat_name:
            fields.pop("display_name", None)
        elif entry.display_name is None:
            fields[_NO_DISPLAY_NAME] = "1"
        if entry.origin.platform != entry.platform:
            fields["origin_platform"] = entry.origin.platform
        if entry.origin.chat_type != entry.chat_type:
            fields["origin_chat_type"] = entry.origin.chat_type
    elif entry.platform is not None:
        fields["no_origin"] = "1"
    return fields


def encode_changes(entry: SessionEntry, names: Iterable[str]) -> dict[str, str]:
    """Return the hash fields of these attributes of an entry; an empty value: take it away."""
    wanted = set(names)
    written = encode_entry(entry)
    fields = [field for field, (attribute, _) in _ENTRY.items() if attribute in wanted]
    if "display_name" in wanted:
        written[_NO_DISPLAY_NAME] = "" if "display_name" in written else "1"
        fields.append(_NO_DISPLAY_NAME)
    if "model_override" in wanted:
        fields += _OVERRIDE
    return {field: written.get(field, "") for field in fields}


def encode_override(override: ModelOverride) -> dict[str, str]:
    """Return the fields of a model override that are set."""
    return dict(_written(override, _OVERRIDE))


def _written(model: object, fields: Mapping[str, tuple[str, _Kind]]) -> Iterator[tuple[str, str]]:
    for field, (attribute, kind) in fields.items():
        value = getattr(model, attribute)
        if value is None or value is False:
            continue
        try:
            text = kind.write(value)
        except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
            raise InvalidInput(attribute, f"can't be stored: {error}") from error
        if text is not None:
            yield field, text


def flatten(fields: Iterable[tuple[str, str]]) -> list[str]:
    """Return pairs as one flat list, as a script takes them."""
    return [part for pair in fields for part in pair]
