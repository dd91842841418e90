"""What a namespace holds, in a form by which two moments can be compared.

Random and running parts are replaced by what they stand for: session ids by the lane that is bound
to them, times, fences and turns by a word. What a call changed twice stays visible in versions,
counters, flags, members and events.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis

__all__ = ["clear", "comparable", "contents"]

_SESSION_ID = re.compile(r"\d{8}_\d{6}_[0-9a-f]{12}")
_MOMENT = re.compile(r"\b1[6-9]\d{11}\b(-\d+|\.0)?|datetime\.datetime\([^)]*\)")
_FENCE = re.compile(r"\b1[6-9]\d{14}\b")
_TOKEN = re.compile(r"\b[0-9a-f]{8}/[0-9a-f]{16}\b")


def contents(client: Redis, namespace: str) -> dict[str, Any]:
    """Read all keys of a namespace but the remembered results of calls."""
    reading: Any = client
    found = {}
    for key in reading.scan_iter(match=f"{{{namespace}*"):
        if b"}:op:" in key:
            continue
        kind = reading.type(key)
        if kind == b"hash":
            value: Any = {_text(name): _text(it) for name, it in reading.hgetall(key).items()}
            value.pop("last_call", None)  # random, as a session id is
        elif kind == b"zset":
            value = {
                _text(name): score for name, score in reading.zrange(key, 0, -1, withscores=True)
            }
        elif kind == b"list":
            value = [_text(member) for member in reading.lrange(key, 0, -1)]
        elif kind == b"stream":
            value = [
                {_text(name): _text(it) for name, it in fields.items()}
                for _, fields in reading.xrange(key)
            ]
        else:
            value = _text(reading.get(key))
        found[_text(key)] = value
    return found


def clear(client: Redis, namespace: str) -> None:
    """Delete the sessions of a namespace; that it is laid out stays."""
    keys = {key for key in contents(client, namespace) if not key.endswith("}:meta")}
    if keys:
        client.delete(*keys)


def comparable(stored: dict[str, Any], answer: object = None) -> str:
    """Write down what is stored, and an answer, without what differs from run to run."""
    names = {
        entry["session_id"]: f"<id of {key.partition(':entry:')[2]}>"
        for key, entry in stored.items()
        if ":entry:" in key
    }

    def neutral(text: str) -> str:
        text = _SESSION_ID.sub(lambda match: names.get(match[0], "<an id>"), text)
        text = _TOKEN.sub("<a turn>", _FENCE.sub("<a fence>", text))
        return _MOMENT.sub("<a moment>", text)

    # Of sessions touched in the same millisecond, either may be listed first.
    items = sorted(map(neutral, map(repr, answer))) if isinstance(answer, list) else [repr(answer)]
    lines = [f"answer {neutral(item)}" for item in items]
    for key, value in _without_ends(stored).items():
        if isinstance(value, dict):
            members = sorted(neutral(f"{name} = {it}") for name, it in value.items())
            lines.append(f"{neutral(key)}: {'; '.join(members)}")
        else:
            lines.append(f"{neutral(key)}: {neutral(str(value))}")
    return "\n".join(sorted(lines))


def _without_ends(stored: dict[str, Any]) -> dict[str, Any]:
    """Put the hashes of session ids of a partition together: how random ids end is random."""
    joined: dict[str, Any] = {}
    for key, value in stored.items():
        place, mark, end = key.partition(":session_ids:")
        if mark and all(session_id.endswith(end) for session_id in value.values()):
            joined.setdefault(place + mark, {}).update(value)
        else:
            joined[key] = value
    return joined


def _text(raw: bytes) -> str:
    return raw.decode()
