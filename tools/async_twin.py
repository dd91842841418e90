"""Write the operations of ``AsyncSessionStore`` from those of ``SessionStore``.

The two faces have the same methods with the same documentation; so that they can't drift, the
files named here exist once, under ``redisstore/sync``, and ``make twins`` writes their twins under
``redisstore/aio``. A test fails while a twin differs (formatting aside). Runners, connections and
self-renewing holds are different in kind and are written by hand.
"""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "redisstore"
TWINS = (
    "sessions.py",
    "turns.py",
    "replicas.py",
    "sweeps.py",
    "holds.py",
    "events.py",
    "audits.py",
    "drops.py",
    "store.py",
)

_SIGNATURE = re.compile(r"^( *)def (\w+)(\(.*?\) -> (.*?):\n)", re.DOTALL | re.MULTILINE)
_RUNS_CALLS = (
    r"self\._(?:run|run_all|complete|look_and_drop|drop_round)\(|self\.(?:get_session|count|layout)\(|super\(\)\.close\("
    r"|self\._(?:keeper|turns)\.(?:close|drain)\("
)
_GENERATORS = ("_readable", "audit")
_STAYS_PLAIN = ("Iterator[", "ProcessHold", "Turn", "Maintenance")
_RENAMED = {
    r"\bredisstore\.sync\b": "redisstore.aio",
    r"\bSessionStore\b": "AsyncSessionStore",
    r"\bProcessHold\b": "AsyncProcessHold",
    r"\bKeeper\b": "AsyncKeeper",
    r"\bTurn\b": "AsyncTurn",
    r"\bTurnRegister\b": "AsyncTurnRegister",
    r"\bOnLost\b": "AsyncOnLost",
    r"\bMaintenance\b": "AsyncMaintenance",
    r"\bOnExpired\b": "AsyncOnExpired",
    r"\bSyncClient\b": "AsyncClient",
    r"\bIterator\b": "AsyncIterator",
    r"(, for )threads\b": r"\1asyncio",
    r"Thread-safe\.": "For one event loop.",
    r"a ``with`` block": "an ``async with`` block",
}


def twin(text: str) -> str:
    """Return the asyncio form of a file of operations."""

    def declare(match: re.Match[str]) -> str:
        indent, name, rest, returns = match.groups()
        plain = name == "_set_up" or returns.startswith(_STAYS_PLAIN)
        if name in _GENERATORS:
            plain = False
        return f"{indent}{'' if plain else 'async '}def {name}{rest}"

    text = _SIGNATURE.sub(declare, text)
    text = re.sub(rf"(?<=\breturn )(?={_RUNS_CALLS})", "await ", text)
    text = re.sub(rf"(?<== )(?={_RUNS_CALLS})", "await ", text)
    text = re.sub(rf"^( +)(?={_RUNS_CALLS})", r"\1await ", text, flags=re.MULTILINE)
    text = re.sub(
        r"\bfor (\w+) in (self\._(?:sweep|runner\.\w+)\(|found:)", r"async for \1 in \2", text
    )
    for pattern, replacement in _RENAMED.items():
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


def mark(name: str) -> str:
    """Return the first line of a twin, for whoever opens it to edit it."""
    return f"# Written by `make twins` from redisstore/sync/{name}: edit that one.\n"


def main() -> None:
    """Write all twins."""
    for name in TWINS:
        text = twin((PACKAGE / "sync" / name).read_text("utf-8"))
        (PACKAGE / "aio" / name).write_text(mark(name) + text, "utf-8")


if __name__ == "__main__":
    main()
