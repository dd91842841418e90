"""A prune after an import removes what the gateway's own did, through the stores and by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import pytest

from redisstore import SessionKey, SessionStore
from redisstore.fields import to_ms
from redisstore.scripts import directory, library
from tests.conftest import Sites
from tests.servers import BACKEND_NAMES, missing
from tests.transfer.files import DATA, Row, carry_in


@pytest.fixture
def expected(generation: Path) -> Row:
    found: Row = json.loads((generation / "expected_prune.json").read_text())
    return found


@pytest.fixture(params=["0.13/sessions.json", "0.19/sessions.json", "0.19/state.db"])
def written(request: pytest.FixtureRequest) -> Path:
    """Return what a gateway has written, in each form that there is."""
    return DATA / f"hermes-{request.param}"


@pytest.fixture
def cutoff(expected: Row) -> datetime:
    return _cutoff(expected)


def _cutoff(expected: Row) -> datetime:
    now = datetime.fromisoformat(expected["now"]).replace(tzinfo=ZoneInfo(expected["timezone"]))
    return now - timedelta(days=expected["max_age_days"])


def test_a_prune_after_an_import_removes_what_the_gateway_would(
    store: SessionStore, written: Path
) -> None:
    expected = json.loads((written.parent / "expected_prune.json").read_text())
    cutoff = _cutoff(expected)
    report = carry_in(store, written, expected["timezone"])
    assert (report.created, report.total, report.bad) == (600, 600, ())
    assert report.not_carried_over == {}
    for key in expected["active_session_keys"]:
        store.take_hold(key, "process")

    removed: list[SessionKey] = []
    pruned = store.prune_old_entries(before=cutoff, on_batch=lambda b: removed.extend(b.removed))

    assert sorted(removed) == sorted(expected["pruned_session_keys"])
    assert int(pruned) == expected["removed"]
    assert store.count_sessions() == 600 - expected["removed"]


ByHand: TypeAlias = Callable[[str, list[str], list[str]], list[str]]


@pytest.fixture(params=["redis-cli", "EVAL"])
def by_hand(request: pytest.FixtureRequest, backend: str, sites: Sites) -> ByHand:
    """Run a file of ``lua/`` as an operator does, and return the lines of the reply."""
    server = sites.server(backend)

    def redis_cli(script: str, keys: list[str], args: list[str]) -> list[str]:
        file = str(directory() / f"{script}.lua")
        command = ["redis-cli", "-p", str(server.port), "--eval", file, *keys, ",", *args]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        return answer.stdout.splitlines()

    def evaluate(script: str, keys: list[str], args: list[str]) -> list[str]:
        return _lines(server.ask("EVAL", library()[script].text, len(keys), *keys, *args))

    if request.param == "EVAL":
        return evaluate
    if shutil.which("redis-cli") is None:
        missing("redis-cli is not installed")
    return redis_cli


def _lines(reply: Any) -> list[str]:
    if isinstance(reply, list):
        return [line for item in reply for line in _lines(item)]
    return [reply.decode()]


@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_the_scripts_alone_do_the_same_by_hand(
    by_hand: ByHand, namespace: str, sessions: dict[str, Row], expected: Row, cutoff: datetime
) -> None:
    prefix = "{" + namespace + "}:"
    updated_at = prefix + "updated_at"
    keys = list(sessions)
    for start in range(0, len(keys), 100):
        args = ["", "0", "0"]
        for key in keys[start : start + 100]:
            args += [key, "6", *_fields_by_hand(sessions[key])]
        assert set(by_hand("import_sessions", [prefix, updated_at], args)) == {"created"}
    pairs = [part for key in expected["active_session_keys"] for part in (key, "by-hand")]
    lapses = by_hand("hold_processes", [prefix, prefix + "active"], ["120000", *pairs])
    assert all(line.isdigit() for line in lapses)

    removed: list[str] = []
    skip, more = "0", "1"
    while more == "1":
        args = [str(to_ms(cutoff)), "", "100", skip, "", "", "0"]
        reply = by_hand("prune", [prefix, updated_at], args)
        more, skip = reply[reply.index("more") + 1], reply[reply.index("skip") + 1]
        removed += filter(None, reply[reply.index("removed") + 1 :])

    assert sorted(removed) == sorted(expected["pruned_session_keys"])


def _fields_by_hand(row: Row) -> list[str]:
    fields = {
        "session_id": row["session_id"],
        "platform": row["platform"],
        "chat_type": row["chat_type"],
        "suspended": "1" if row["suspended"] else "",
    }
    for name in ("created_at", "updated_at"):
        moment = datetime.fromisoformat(row[name]).replace(tzinfo=UTC)
        fields[name] = str(to_ms(moment))
    return [part for pair in fields.items() for part in pair]
