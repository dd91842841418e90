"""What documentation tells an operator to type, run as it stands.

``redis-cli`` is on few development machines, so its command line is understood here: plain
commands, ``--scan --pattern``, and ``--eval FILE KEY ... , ARG ...``. Where the real one is
installed, it is used too.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import redis

ROOT = Path(__file__).resolve().parent.parent
ASKED = re.compile(r"TOKEN=\$\((.*)\)")
"""A line that keeps an answer for the next one, which says ``$TOKEN``."""
_BLOCK = re.compile(r"^ *```(?:sh|console)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def shell_lines(document: Path) -> list[str]:
    """Return the commands in a document's ``sh`` and ``console`` blocks, continued lines joined."""
    lines = []
    for block in _BLOCK.findall(document.read_text("utf-8")):
        joined = block.replace("\\\n", " ")
        lines += [line.strip().removeprefix("$ ") for line in joined.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith("#")]


def run_redis_cli(client: redis.Redis, line: str) -> Any:
    """Run one ``redis-cli`` command line by a client; of one that keeps its answer, return that."""
    if asked := ASKED.fullmatch(line):
        line = asked[1]
    words = shlex.split(line)
    assert words[0] == "redis-cli", line
    words = words[1:]
    if words[:2] == ["--scan", "--pattern"]:
        return list(client.scan_iter(words[2]))
    if words[0] != "--eval":
        return client.execute_command(*words)  # type: ignore[no-untyped-call]
    script, keys, arguments = (ROOT / words[1]).read_text("utf-8"), words[2:], []
    if "," in keys:
        comma = keys.index(",")
        keys, arguments = keys[:comma], keys[comma + 1 :]
    return client.eval(script, len(keys), *keys, *arguments)
