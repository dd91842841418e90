"""The past that the demo begins with: a year of a real gateway's sessions, up to today.

``sessions.json`` was written by hermes-agent 0.19, driven through a year of messages from eight
platforms; its people are made up. ``expected_prune.json`` tells what that gateway's own prune
removed at the given ``now``, and which sessions had a background process then.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from redisstore.keys import SessionKey
from redisstore.source import SessionSource, build_session_key

TIMEZONE = "UTC"
"""Of the times in the file, which don't say it themselves."""
_TIMES = ("created_at", "updated_at", "last_resume_marked_at")
_REGULARS, _RETURNING = 26, 6


@dataclass(frozen=True)
class History:
    """The sessions file, moved in time so that its latest message came just now."""

    rows: dict[str, dict[str, Any]]
    now: datetime
    """The time at which the gateway pruned, moved; aware."""
    max_age: timedelta
    busy: tuple[SessionKey, ...]
    """Sessions with a background process."""
    removed_by_gateway: frozenset[SessionKey]
    """What the gateway's own prune removed."""

    @property
    def cutoff(self) -> datetime:
        """What was last active before this is for the prune."""
        return self.now - self.max_age

    @property
    def suspended(self) -> frozenset[SessionKey]:
        """The sessions that were suspended."""
        return frozenset(SessionKey(key) for key, row in self.rows.items() if row["suspended"])

    def write(self, path: Path) -> None:
        """Write the sessions file."""
        path.write_text(json.dumps(self.rows, indent=2), encoding="utf-8")

    def talkers(self) -> list[SessionSource]:
        """Choose who writes during the demo: lately active people, and some after a long time."""
        plain = [
            (SessionKey(key), SessionSource.model_validate(row["origin"]))
            for key, row in sorted(self.rows.items(), key=lambda item: item[1]["updated_at"])
            if not row["suspended"] and not row["resume_pending"] and key not in self.busy
        ]
        plain = [(key, source) for key, source in plain if build_session_key(source) == key]
        old = [source for key, source in plain if key in self.removed_by_gateway]
        return old[:_RETURNING] + [source for _, source in plain[-_REGULARS:]]


def load(today: datetime) -> History:
    """Read the packaged files and move their times; ``today`` must be aware."""
    package = files("redisstore.demo")
    rows = json.loads(package.joinpath("sessions.json").read_text(encoding="utf-8"))
    expected = json.loads(package.joinpath("expected_prune.json").read_text(encoding="utf-8"))
    # A name that begins with "_" is a note to the reader.
    rows = {key: row for key, row in rows.items() if not key.startswith("_")}
    written = datetime.fromisoformat(expected["now"])
    # Some people wrote in the minutes after that; nobody has written in the future.
    latest = max(written, *(datetime.fromisoformat(row["updated_at"]) for row in rows.values()))
    moved = today - latest.replace(tzinfo=UTC)
    return History(
        rows={key: _move(row, moved) for key, row in rows.items()},
        now=written.replace(tzinfo=UTC) + moved,
        max_age=timedelta(days=expected["max_age_days"]),
        busy=tuple(map(SessionKey, expected["active_session_keys"])),
        removed_by_gateway=frozenset(map(SessionKey, expected["pruned_session_keys"])),
    )


def _move(row: dict[str, Any], by: timedelta) -> dict[str, Any]:
    times = {name: row[name] for name in _TIMES if row.get(name)}
    moved = {name: (datetime.fromisoformat(at) + by).isoformat() for name, at in times.items()}
    return row | moved
