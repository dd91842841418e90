"""Random settings, and random sequences of calls, as plain values that can be printed and cut."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

LANES = 4
SPEAKERS = 6
"""Who writes; some share a lane."""
_MINUTE = 60_000
_DAY = 1440 * _MINUTE


@dataclass(frozen=True)
class Call:
    """One call: who writes, or whose session it is about, and the values that it is given."""

    name: str
    lane: int = 0
    args: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return f"{self.name}({', '.join([str(self.lane), *map(repr, self.args)])})"


@dataclass(frozen=True)
class Settings:
    """How both gateways are set up."""

    default: tuple[str, int, int]
    """Mode, hour and idle minutes of the reset policy."""
    of_groups: tuple[str, int, int] | None
    of_slack: tuple[str, int, int] | None
    recover: bool
    ends_rows: bool
    """Whether others end rows of the database and compress sessions meanwhile."""

    def mode_of(self, key: str) -> str:
        """Return the mode of the reset policy of a session key."""
        special = (
            self.of_slack if ":slack:" in key else self.of_groups if ":group:" in key else None
        )
        return (special or self.default)[0]


def settings(rng: Random) -> Settings:
    """Draw how the gateways are set up."""

    def policy() -> tuple[str, int, int]:
        mode = rng.choice(("none", "idle", "daily", "both"))
        return mode, rng.choice((0, 4, 11, 23)), rng.choice((1, 30, 1440))

    return Settings(
        policy(),
        rng.choice((None, policy())),
        rng.choice((None, policy())),
        rng.random() < 0.5,
        rng.random() < 0.4,
    )


def sequence(rng: Random, setup: Settings, *, newer: bool) -> list[Call]:
    """Draw a sequence of calls; ``newer``: also those that only 0.18 and 0.19 have."""
    wanted = dict(_WEIGHTS)
    if newer:
        wanted |= _NEWER
    if setup.ends_rows and newer:
        wanted |= _ROWS
    names = rng.choices(list(wanted), list(wanted.values()), k=rng.randint(8, 30))
    calls = [_call(rng, name) for name in names]
    return [*calls, Call("items"), Call("restart"), Call("items")]


_WEIGHTS = {
    "message": 26,
    "tick": 14,
    "update": 8,
    "change": 10,
    "save": 3,
    "rotate": 3,
    "reset": 4,
    "switch": 6,
    "suspend": 4,
    "mark": 5,
    "clear": 3,
    "prune": 6,
    "recently": 1,
    "process": 5,
    "finalize": 2,
    "restart": 4,
    "list": 3,
    "get": 4,
    "contains": 2,
    "items": 2,
    "values": 1,
    "expired": 3,
    "has_any": 1,
    "speak": 3,
    "lose": 2,
}
_NEWER = {"override": 5, "overridden": 2, "peek": 2, "lookup": 3, "finalizable": 1}
_ROWS = {"end_row": 4, "compress": 4}

_CHANGES: tuple[tuple[str, Any], ...] = (
    ("was_auto_reset", False),
    ("auto_reset_reason", None),
    ("is_fresh_reset", False),
    ("last_prompt_tokens", 0),
    ("last_prompt_tokens", 77),
    ("suspended", True),
    ("expiry_finalized", True),
    ("display_name", "called otherwise"),
    ("total_tokens", 5),
    ("estimated_cost_usd", 0.25),
    ("cost_status", "estimated"),
)
_OVERRIDES: tuple[Any, ...] = (
    None,
    {},
    {"model": "m-1"},
    {"model": "m-1", "provider": "custom", "base_url": "http://127.0.0.1:9/v1"},
    {"model": "m-2", "api_key": "sk-secret", "api_mode": "chat"},
    {"api_key": "sk-secret"},
    {"model": "m-3", "provider": "", "base_url": None},
    {"model": "m-4", "base_url": "https://me:secret@models.example/v1"},
    {"model": "m-5", "base_url": "https://models.example/v1?api_key=secret&region=eu"},
)


def _call(rng: Random, name: str) -> Call:
    """Draw what a call is given."""
    lane = rng.randrange(SPEAKERS if name == "message" else LANES)
    args: tuple[Any, ...] = ()
    if name == "message":
        args = (rng.random() < 0.1, rng.random() < 0.6)
    elif name == "change":
        args = (*rng.choice(_CHANGES), rng.random() < 0.5)
    elif name in _ONE_OF:
        args = (rng.choice(_ONE_OF[name]),)
    return Call(name, lane, args)


_ONE_OF: dict[str, tuple[Any, ...]] = {
    "tick": (
        *(1, 1, 500, 1001, 5_000, _MINUTE, 119_999, 120_001, 30 * _MINUTE, 30 * _MINUTE + 1),
        *(59 * _MINUTE, 61 * _MINUTE, 300 * _MINUTE, _DAY, _DAY + 1, 2 * _DAY, 3 * _DAY),
    ),
    "switch": tuple(range(8)),
    "lookup": tuple(range(8)),
    "update": (None, 0, 10, 5000),
    "reset": (None, None, "named anew"),
    "mark": ("restart_timeout", "shutdown_timeout", "restart_interrupted"),
    "prune": (None, 0, 1, 1, 1, 2),
    "recently": (120, 1),
    "process": ("runs", "runs", "none", "fails"),
    "finalize": (True, True, False),
    "list": (None, 1, 60, 3000),
    "override": _OVERRIDES,
    "end_row": ("agent_close", "new_command", "session_reset"),
}
