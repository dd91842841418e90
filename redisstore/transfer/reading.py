"""One row of the file as an entry: checked field by field, with the gateway's own leniency.

``null`` is absent, as in the gateway; so is an empty id, and an id that is a number is its digits.
What the gateway does without, rather than without the row, is absent too if it can't be read: the
platform, the origin as a whole, the interruption mark's time, the model override; and so are the
messages that were handled, which no gateway writes.
Rules: ``SessionEntry.from_dict`` and ``SessionSource.from_dict`` of hermes-agent 0.13 and 0.19.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar, cast
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)

from redisstore.calls.handled import Handled
from redisstore.entry import ModelOverride, SessionEntry
from redisstore.errors import InvalidInput
from redisstore.fields import LARGEST_NUMBER
from redisstore.source import SessionSource
from redisstore.text import Identifier, Text, Word
from redisstore.transfer.report import BadRow, printable
from redisstore.transfer.times import from_file
from redisstore.transfer.writing import HANDLED

ModelT = TypeVar("ModelT", bound=BaseModel)
_LARGEST_USD = Decimal(LARGEST_NUMBER).scaleb(-9)


def _moment(value: object, info: ValidationInfo) -> datetime:
    return from_file(value, cast("ZoneInfo", info.context))


def _absent_if_empty(value: object) -> object:
    return None if value == "" else value


def _identifier(value: object) -> object:
    return str(value) if type(value) is int else _absent_if_empty(value)


def _number(value: object) -> Decimal:
    if type(value) is not int and not isinstance(value, Decimal):
        raise ValueError(f"must be a number, not {type(value).__name__}")
    return Decimal(value)


_Moment = Annotated[datetime, BeforeValidator(_moment)]
_Id = Annotated[Text | None, BeforeValidator(_identifier)]
_Platform = Annotated[Word | None, BeforeValidator(_absent_if_empty)]
_Count = Annotated[StrictInt, Field(ge=0, le=LARGEST_NUMBER)]
_Usd = Annotated[Decimal, BeforeValidator(_number), Field(ge=0, le=_LARGEST_USD)]


class _Part(BaseModel):
    """What is read of an object in the file. Absent fields have the defaults of what is made."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    def given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.model_fields_set}


class _Row(_Part):
    session_key: Identifier
    session_id: Identifier
    created_at: _Moment
    updated_at: _Moment
    display_name: Text = ""
    platform: _Platform = None
    chat_type: Word = "dm"
    input_tokens: _Count = 0
    output_tokens: _Count = 0
    cache_read_tokens: _Count = 0
    cache_write_tokens: _Count = 0
    total_tokens: _Count = 0
    last_prompt_tokens: _Count = 0
    estimated_cost_usd: _Usd = Decimal(0)
    cost_status: Text = ""
    was_auto_reset: StrictBool = False
    auto_reset_reason: Text = ""
    reset_had_activity: StrictBool = False
    is_fresh_reset: StrictBool = False
    expiry_finalized: StrictBool = False
    suspended: StrictBool = False
    resume_pending: StrictBool = False
    resume_reason: Text = ""
    last_resume_marked_at: _Moment | None = None
    replica: Text = ""
    interruptions: _Count = 0
    previous_session_id: Identifier | None = None


class _Origin(_Part):
    platform: Word
    chat_type: Word = "dm"
    chat_id: _Id = None
    chat_name: Text = ""
    user_id: _Id = None
    user_name: Text = ""
    thread_id: _Id = None
    chat_topic: Text = ""
    user_id_alt: _Id = None
    chat_id_alt: _Id = None
    is_bot: StrictBool = False
    guild_id: _Id = None
    parent_chat_id: _Id = None
    message_id: _Id = None
    profile: _Id = None
    auto_thread_created: StrictBool = False
    auto_thread_initial_name: Text = ""


class _Override(_Part):
    model: _Id = None
    provider: _Id = None
    base_url: _Id = None


_DISPENSABLE: dict[str, TypeAdapter[Any]] = {
    "platform": TypeAdapter(_Platform),
    "last_resume_marked_at": TypeAdapter(_Moment | None),
}
_HANDLED: TypeAdapter[Handled] = TypeAdapter(dict[Identifier, _Moment])


class RowReader:
    """Reads rows whose naive times are in one zone, and counts what has no place in an entry."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self.not_carried_over: Counter[str] = Counter()

    def read(self, key: str, row: object) -> SessionEntry | BadRow:
        """Return the row as an entry of version 1, or what is wrong with it."""
        try:
            return self._entry(key, row)
        except InvalidInput as error:
            return BadRow(printable(key), printable(str(error)))

    def handled(self, row: object) -> Handled:
        """Return the messages that the row's session has handled; none if they can't be read."""
        value = row.get(HANDLED) if isinstance(row, dict) else None
        if value is None:
            return {}
        try:
            return _HANDLED.validate_python(value, context=self._zone)
        except ValidationError:
            self.not_carried_over[HANDLED] += 1
            return {}

    def _entry(self, key: str, value: object) -> SessionEntry:
        row = _object("row", value)
        # What this flag was called earlier; hermes-agent still reads that.
        finalized = row.pop("memory_flushed", None)
        if finalized is not None:
            row.setdefault("expiry_finalized", finalized)
        row.pop(HANDLED, None)
        extra = list(self._without_unreadable(row))
        origin = self._origin(row.pop("origin", None), extra)
        override = self._override(row.pop("model_override", None), extra)
        fields = self._checked(_Row, row, extra)
        if fields["session_key"] != key:
            raise InvalidInput("session_key", f"{fields['session_key']!r:.60} is not the row's key")
        entry = _built(
            SessionEntry, {**fields, "origin": origin, "model_override": override, "version": 1}
        )
        self.not_carried_over.update(extra)
        return entry

    def _origin(self, value: object, extra: list[str]) -> SessionSource | None:
        if not isinstance(value, dict):
            extra += [] if value is None else ["origin"]
            return None
        origin = _object("origin", value)
        scope, guild = origin.pop("scope_id", None), origin.get("guild_id")
        if scope not in (None, ""):
            origin["guild_id"] = scope
            if guild not in (None, "", scope):
                extra.append("origin.guild_id")
        return _built(SessionSource, self._checked(_Origin, origin, extra, "origin."), "origin.")

    def _override(self, value: object, extra: list[str]) -> ModelOverride | None:
        if value is None:
            return None
        prefix = "model_override."
        unknown: list[str] = []
        try:
            fields = self._checked(_Override, _object("model_override", value), unknown, prefix)
            override = _built(ModelOverride, fields, prefix)
        except InvalidInput as error:
            extra.append(error.field)
            return None
        extra += unknown
        return override if override != ModelOverride() else None

    def _without_unreadable(self, row: dict[str, Any]) -> Iterator[str]:
        """Take out, and name, what the row can do without and can't be read."""
        for name, kind in _DISPENSABLE.items():
            try:
                kind.validate_python(row.get(name), context=self._zone)
            except ValidationError:
                del row[name]
                yield name

    def _checked(
        self, kind: type[_Part], values: Mapping[str, object], extra: list[str], prefix: str = ""
    ) -> dict[str, Any]:
        """Return the fields that are given, and add the names of those unknown to ``extra``."""
        part = _built(kind, values, prefix, context=self._zone)
        unknown = values.keys() - kind.model_fields.keys()
        extra += [printable(f"{prefix}{name:.60}") for name in unknown]
        return part.given()


def _built(
    kind: type[ModelT],
    values: Mapping[str, object],
    prefix: str = "",
    *,
    context: ZoneInfo | None = None,
) -> ModelT:
    try:
        return kind.model_validate(values, context=context)
    except ValidationError as error:
        raise _invalid(error, prefix) from error


def _object(field: str, value: object) -> dict[str, Any]:
    """Return a JSON object without its nulls."""
    if not isinstance(value, dict):
        raise InvalidInput(field, f"must be an object, not {type(value).__name__}")
    return {name: item for name, item in value.items() if item is not None}


def _invalid(error: ValidationError, prefix: str) -> InvalidInput:
    """Put all that is wrong with an object into one error, each problem behind its field."""
    problems = [
        (f"{prefix}{problem['loc'][0]}", str(problem.get("ctx", {}).get("error", problem["msg"])))
        for problem in error.errors(include_url=False, include_input=False)
    ]
    (field, first), *others = problems
    return InvalidInput(field, "; ".join([first, *map(": ".join, others)]))
