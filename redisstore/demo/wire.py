"""What the demo and its replicas tell each other: one JSON object a line, over pipes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from redisstore.keys import SessionId, SessionKey
from redisstore.source import SessionSource


class Message(BaseModel):
    """A person wrote something."""

    model_config = ConfigDict(frozen=True)

    number: int
    source: SessionSource
    input_tokens: int
    output_tokens: int
    thinking: float
    """Seconds that the model takes for its answer."""

    @property
    def id(self) -> str:
        """What its platform calls it, at every delivery."""
        return f"message-{self.number}"


class Delivery(BaseModel):
    """Demo to replica: a message, maybe not for the first time, maybe not to this one alone."""

    model_config = ConfigDict(frozen=True)

    number: int
    message: Message


class Ready(BaseModel):
    """Replica to demo: it takes messages from now on."""

    kind: Literal["ready"] = "ready"


class Begun(BaseModel):
    """Replica to demo: the turn has begun, and this is what the store said about it."""

    kind: Literal["begun"] = "begun"
    delivery: int
    session_key: SessionKey
    session_id: SessionId
    token: str
    fence: int
    created: bool
    """Whether this very turn made the session."""
    resumed: bool
    """Whether the session was marked: a turn before was lost with its replica."""
    at: float
    """Seconds of the monotonic clock, which all processes share; the turn had begun by then."""


class Answered(BaseModel):
    """Replica to demo: the store has taken the end of the turn, and its tokens."""

    kind: Literal["answered"] = "answered"
    delivery: int
    session_id: SessionId
    at: float
    """Seconds of the monotonic clock; the turn had not ended yet."""


class Refused(BaseModel):
    """Replica to demo: the message was not for it to answer.

    ``done``, ``running``, ``waiting``: the store knew the message; ``busy``: another turn had the
    session for too long; ``lost``: its own turn lost the session, and the store took nothing of it.
    """

    kind: Literal["refused"] = "refused"
    delivery: int
    why: Literal["done", "running", "waiting", "busy", "lost"]


class Failed(BaseModel):
    """Replica to demo: a message could not be handled."""

    kind: Literal["failed"] = "failed"
    delivery: int
    error: str


Report = Annotated[Ready | Begun | Answered | Refused | Failed, Field(discriminator="kind")]
REPORTS: TypeAdapter[Report] = TypeAdapter(Report)
