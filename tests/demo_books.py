"""What the demonstration may have booked, and what a store may hold, made up to be judged."""

from __future__ import annotations

from datetime import UTC, datetime

from redisstore.calls.running_turns import RunningTurn
from redisstore.demo.ledger import Ledger
from redisstore.demo.proof import Entries
from redisstore.demo.wire import Answered, Begun, Delivery, Message
from redisstore.entry import SessionEntry
from redisstore.keys import SessionId, SessionKey
from redisstore.source import SessionSource

KEY, OTHER = SessionKey("agent:main:telegram:dm:1"), SessionKey("agent:main:telegram:dm:2")
ID = SessionId("20260101_000000_aaaaaaaaaaaa")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def entry(key: SessionKey = KEY, **fields: object) -> SessionEntry:
    made = SessionEntry(session_key=key, session_id=ID, created_at=NOW, updated_at=NOW, version=1)
    return made.model_copy(update=fields)


def stored(*entries: SessionEntry) -> Entries:
    return {one.session_key: one for one in entries}


def deliver(ledger: Ledger, number: int, delivery: int | None = None) -> Delivery:
    """Book a delivery, by default the first, of a message of 10 input tokens and 1 output token."""
    message = Message(
        number=number,
        source=SessionSource(platform="telegram", chat_id="1"),
        input_tokens=10,
        output_tokens=1,
        thinking=0,
    )
    made = Delivery(number=delivery or number, message=message)
    ledger.note_delivery(made, "retry" if delivery else "first")
    return made


def begin(
    ledger: Ledger,
    delivery: int,
    replica: str = "gateway-1",
    *,
    session_id: SessionId = ID,
    created: bool = False,
    resumed: bool = False,
    fence: int | None = None,
    at: float | None = None,
) -> None:
    """Book that the turn of a delivery has begun."""
    begun = Begun(
        delivery=delivery,
        session_key=KEY,
        session_id=session_id,
        token=f"token-{delivery}",
        fence=fence or delivery,
        created=created,
        resumed=resumed,
        at=delivery if at is None else at,
    )
    ledger.note(replica, begun)


def answer(
    ledger: Ledger,
    delivery: int,
    replica: str = "gateway-1",
    *,
    session_id: SessionId = ID,
    at: float | None = None,
) -> None:
    """Book that the store took the end of the turn of a delivery."""
    ended_at = delivery + 0.5 if at is None else at
    ledger.note(replica, Answered(delivery=delivery, session_id=session_id, at=ended_at))


def handle(
    ledger: Ledger,
    number: int,
    replica: str = "gateway-1",
    *,
    session_id: SessionId = ID,
    created: bool = False,
) -> None:
    """Book a message from its delivery to its answer."""
    deliver(ledger, number)
    begin(ledger, number, replica, session_id=session_id, created=created)
    answer(ledger, number, replica, session_id=session_id)


def turn_left(fence: int | None) -> RunningTurn:
    """A turn that a killed replica has left in the store; without a fence it was not claimed."""
    return RunningTurn(KEY, "gateway-1", f"token-{fence}", fence, ID, None, NOW, NOW, 0.0, True, 0)
