"""A call that was done on both sides, with what was there before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .drawing import Call, Settings
from .gateway import Gateway
from .side import Side
from .views import Difference, View

BY_MISTAKE = ("agent_close", "ws_orphan_reap")
"""Why a row has ended that 0.18 and 0.19 open again."""


@dataclass(frozen=True)
class Moment:
    """A call that was done on both sides, and what was there before it."""

    gateway: Gateway
    setup: Settings
    call: Call
    key: str
    """Of the lane that the call is about."""
    before: View
    """The gateway's own entries by key, as they were before the call."""
    rows: View
    """The rows of the gateway's own database, as they were before the call."""
    processes: Mapping[str, str]
    """What the process registry says of each session, by key."""
    own: View
    plugin: View

    @property
    def session(self) -> View:
        """The session of the lane as it was before the call."""
        return self.before.get(self.key)

    def ended(self, session_id: str) -> str | None:
        """Return why the gateway's own database had a session ended before the call."""
        row = self.rows.get(session_id)
        return row[0] if row else None

    @property
    def own_renewed(self) -> bool:
        """Whether the gateway's own store has begun a new session in the place of another."""
        return self._renewed(self.own)

    @property
    def plugin_renewed(self) -> bool:
        """Whether the plugin has begun a new session in the place of another."""
        return self._renewed(self.plugin)

    @property
    def revived(self) -> bool:
        """Whether both go on with a conversation from the database, for the row had ended."""
        if self.call.name != "message" or self.session is None or not self.gateway.recovers:
            return False
        own, plugin = (seen["answer"].get("session_id") for seen in (self.own, self.plugin))
        return own == plugin in self.rows and self.ended(self.session["session_id"]) is not None

    @property
    def registry_broke(self) -> bool:
        """Whether the gateway's own store failed for not knowing of processes."""
        raised = f"RegistryBroken: {self.key}"
        is_told = (
            isinstance(self.own["answer"], dict) and self.own["answer"].get("raised") == raised
        )
        return is_told and self.processes.get(self.key) == "fails"

    @property
    def own_gave_up(self) -> bool:
        """Whether only the gateway's own store found an interrupted session too old."""
        return (
            self.own_renewed
            and self.own["answer"]["auto_reset_reason"] == "resume_pending_expired"
            and bool(self.plugin["answer"]["session_id"] == self.session["session_id"])
        )

    def _renewed(self, seen: View) -> bool:
        if self.call.name != "message" or self.session is None:
            return False
        answer = seen["answer"]
        return "raised" not in answer and answer["session_id"] not in self.rows


Explains = Callable[[Moment, Difference], bool]
Settle = Callable[[Moment, Side, Side], View]
"""Makes the sides agree, the gateway's own and the plugin's; returns what the former has answered,
if it was asked again."""


def entry_of(side: Side, key: str) -> Any:
    """Return the entry of a key."""
    return side.store._entries.get(key)


def in_entry(found: Difference) -> tuple[Any, ...]:
    """Return the field, if it is in the entry that was answered or is in hand; else nothing."""
    start = {"answer": 1, "in hand": 2}.get(found.path[0], len(found.path))
    return found.path[start:]
