"""What the demo and its replicas tell each other: one JSON object a line, over pipes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from redisstore.keys import SessionId, SessionKey
from redisstore.source import SessionSource


class Message(BaseModel):
    """Demo to replica: a person wrote something."""

    model_config = ConfigDict(frozen=True)

    number: int
    source: SessionSource
    input_tokens: int
    output_tokens: int
    thinking: float
    """Seconds that the model takes for its answer."""


class Ready(BaseModel):
    """Replica to demo: it takes messages from now on."""

    kind: Literal["ready"] = "ready"
    marked: int
    """Sessions that it marked as interrupted: what it was busy with when it was killed."""


class Begun(BaseModel):
    """Replica to demo: the store has told it which session a message belongs to."""

    kind: Literal["begun"] = "begun"
    number: int
    session_key: SessionKey
    session_id: SessionId
    created: bool
    """Whether this very call made the session."""


class Answered(BaseModel):
    """Replica to demo: the store has acknowledged the tokens of a message."""

    kind: Literal["answered"] = "answered"
    number: int
    session_id: SessionId


class Failed(BaseModel):
    """Replica to demo: a message could not be handled."""

    kind: Literal["failed"] = "failed"
    number: int
    error: str


Report = Annotated[Ready | Begun | Answered | Failed, Field(discriminator="kind")]
REPORTS: TypeAdapter[Report] = TypeAdapter(Report)
