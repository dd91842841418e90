"""A session's Redis keys, and the ``redis-cli`` commands that show what they hold."""

from __future__ import annotations

import shlex

from redisstore.entry import SessionEntry
from redisstore.keys import Partition, SessionKey


def redis_keys(
    home: Partition, session_key: SessionKey, entry: SessionEntry | None
) -> dict[str, str]:
    """Name the Redis keys of a session, and the indexes of its partition that know it."""
    keys = {
        "entry": home.entry(session_key),
        "holds": home.holds(session_key),
        "turn": home.turn(session_key),
        "queue": home.queue(session_key),
        "seen": home.seen(session_key),
        "updated_at": home.updated_at,
        "active": home.active,
        "turns": home.turns,
        "expiry": home.expiry,
        "events": home.events,
    }
    if entry is not None:
        keys["session_ids"] = home.session_ids(entry.session_id)
    return keys


def commands(home: Partition, session_key: SessionKey, entry: SessionEntry | None) -> list[str]:
    """Return commands for a shell; the binding can only be asked for if the entry is readable."""
    asked = [
        ("HGETALL", home.entry(session_key)),
        ("ZRANGE", home.holds(session_key), "0", "-1", "WITHSCORES"),
        ("HGETALL", home.turn(session_key)),
        ("LRANGE", home.queue(session_key), "0", "-1"),
        ("ZRANGE", home.seen(session_key), "0", "-1", "WITHSCORES"),
        ("ZSCORE", home.updated_at, session_key),
        ("ZSCORE", home.active, session_key),
        ("ZSCORE", home.turns, session_key),
        ("ZSCORE", home.expiry, session_key),
    ]
    if entry is not None:
        asked.append(("HGET", home.session_ids(entry.session_id), session_key))
    return [shell_line(*words) for words in asked]


def shell_line(*words: str) -> str:
    """Return one line for a POSIX shell that sends these words by ``redis-cli``.

    What can't be typed (a newline, a NUL) goes through its stdin, where it reads escapes.
    """
    if all(word.isprintable() for word in words):
        return shlex.join(("redis-cli", *words))
    line = " ".join(map(_quoted, words))
    return f"printf '%s\\n' {shlex.quote(line)} | redis-cli"


def _quoted(word: str) -> str:
    """Quote a word as the prompt of ``redis-cli`` reads it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return '"{}"'.format(
        "".join(
            one
            if one.isprintable()
            else "".join(f"\\x{byte:02x}" for byte in one.encode(errors="surrogateescape"))
            for one in escaped
        )
    )
