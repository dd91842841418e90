"""What a replica is given to do, and what it notes of it, whether threads or tasks do it."""

from __future__ import annotations

import logging
import random
import threading
from contextvars import ContextVar
from typing import Any

from redisstore import (
    DuplicateMessage,
    RedisStoreError,
    SessionEntry,
    SessionId,
    StaleWrite,
    StoreUnavailable,
    TurnBusy,
    TurnLost,
)

from .records import Kind, Operation, Recorder

__all__ = ["EXPECTED", "RESET_LANES", "SHARED_LANES", "Notes", "Post", "note_repetitions"]

RESET_LANES, SHARED_LANES = "r", "s"
"""Lanes are named after what is done to them: they are reset, they are bound to one session id."""
EXPECTED = (TurnBusy, TurnLost, DuplicateMessage, StaleWrite, StoreUnavailable)
"""What may come of a turn when replicas die and lanes are bound anew."""
WAITS, HOW_OFTEN = (0.0, 0.1, 1.0, 20.0), (3, 4, 4, 1)
"""How long a message may wait for its turn, in seconds: few wait long where a replica has died."""
LONG_WORK, HOW_LONG = 0.1, 0.1
"""How many messages take a while to handle, in the middle of their turn, and how many seconds."""
RESETS = 0.01
SWITCHES = 0.2
_failures = ContextVar[list[logging.LogRecord]]("_failures")
"""Why the operation that this thread or task is at was tried again; its own tasks share it."""


class Post:
    """The messages that this replica is given: in random order, and again until each is done."""

    def __init__(self, messages: list[tuple[str, str]], shared_id: str, seed: str) -> None:
        self._left = list(messages)
        self._shared_id = SessionId(shared_id)
        self._chance = random.Random(seed)
        self._chance.shuffle(self._left)
        self._lock = threading.Lock()

    def next(self) -> tuple[str, str] | None:
        """Take the next message: its lane, and its id."""
        with self._lock:
            return self._left.pop() if self._left else None

    def again(self, lane: str, message: str) -> None:
        """It is not known to be done: the platform delivers it again, some time later."""
        with self._lock:
            self._left.insert(self._chance.randrange(len(self._left) + 1), (lane, message))

    def patience(self) -> float:
        """How long a message waits for its turn, in seconds."""
        return self._chance.choices(WAITS, HOW_OFTEN)[0]

    def work(self) -> float:
        """How long it takes to handle a message, in seconds."""
        return HOW_LONG if self._chance.random() < LONG_WORK else 0.0

    def tokens(self) -> int:
        """What handling a message costs."""
        return self._chance.randint(1, 9)

    def resets(self, lane: str) -> bool:
        """Whether a lane is reset now, by the turn on it or by somebody else."""
        return lane.startswith(RESET_LANES) and self._chance.random() < RESETS

    def switches(self, lane: str) -> bool:
        """Whether a lane leaves the shared session id now, or comes back to it; one never does."""
        may = lane.startswith(SHARED_LANES) and lane != f"{SHARED_LANES}0"
        return may and self._chance.random() < SWITCHES

    def other_than(self, session_id: SessionId) -> SessionId:
        """The shared id, or another where that is bound already."""
        if session_id != self._shared_id:
            return self._shared_id
        return SessionId(f"apart-{self._chance.getrandbits(48):012x}")


class _Repetitions(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _failures.get([]).append(record)


def note_repetitions() -> None:
    """Notice from now on what the store tries again: it logs so where the call was made."""
    log = logging.getLogger("redisstore.retry")
    log.setLevel(logging.DEBUG)
    log.addHandler(_Repetitions())
    log.propagate = False


class Notes:
    """What is noted of a turn, or of what is done outside of turns."""

    def __init__(self, recorder: Recorder, lane: str, message: str = "", token: str = "") -> None:
        self._recorder = recorder
        self._lane = lane
        self._facts: dict[str, object] = {"message": message, "token": token}

    def invoke(self, kind: Kind, **facts: object) -> Operation:
        _failures.set([])
        return self._recorder.invoke(kind, self._lane, **self._facts, **facts)

    def begun(self, operation: Operation, turn: Any) -> None:
        self._facts["fence"] = turn.fence
        self.answer(operation, turn.entry, fence=turn.fence)

    def answer(self, operation: Operation, entry: SessionEntry | None, **facts: object) -> None:
        assert entry is not None
        self._recorder.answer(
            operation,
            "ok",
            session_id=entry.session_id,
            version=entry.version,
            total=entry.total_tokens,
            repeated=bool(_failures.get()),
            **facts,
        )

    def failed(self, operation: Operation, error: RedisStoreError) -> bool:
        """Note a failure; true if the message is known to be done."""
        if isinstance(error, StoreUnavailable):
            return False
        if isinstance(error, DuplicateMessage) and error.state == "done":
            self._recorder.answer(operation, "done")
            return True
        if isinstance(error, StaleWrite) and operation.kind == "end":
            self._recorder.answer(operation, "stale")
            return True
        self._recorder.answer(operation, "refused")
        return False
