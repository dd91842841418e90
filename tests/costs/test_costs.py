"""What every operation costs is what the file says: exactly, on every server, through both stores.

A difference is a regression, or what was wanted: then take it in, by `golden.COMMAND`, and look at
what it changed. Instructions are compared on the Python that they were counted on; functions, and
all that reaches the server, on every Python.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from redisstore import SessionStore
from redisstore.calls import sessions
from redisstore.calls.call import Call
from redisstore.scripts import Script
from tests.costs.counting import FACES, Cost, counted
from tests.costs.golden import COMMAND, FILE, Counts, differences, recorded, write
from tests.costs.steps import PYTHON
from tests.servers import BACKEND_NAMES, Server, require
from tests.test_shape import public

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NOT_COUNTED = {
    "close": "sends nothing",
    "from_url": "sends nothing by itself",
    "drop": "as many calls as there are keys, by SCAN; nobody waits for it",
    "list_servers": "INFO, whose length is the server's matter",
}
GET = "get_session"


@pytest.fixture(scope="module", params=BACKEND_NAMES)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that nobody else talks to."""
    with Server(require(request.param)) as running:
        yield running


def columns(costs: Mapping[str, Cost]) -> Mapping[str, Mapping[str, Any]]:
    return {name: cost.columns() for name, cost in costs.items()}


@pytest.mark.parametrize("face", FACES)
def test_every_operation_costs_what_the_file_says(server: Server, face: str) -> None:
    expected = recorded(server.backend.name, face)
    told = differences(expected, columns(counted(server, face)))
    if told:
        changed = "\n".join(told)
        pytest.fail(f"other costs than in {FILE.name}; {COMMAND} takes them in:\n{changed}", False)


def test_every_public_operation_is_counted() -> None:
    names = recorded(BACKEND_NAMES[0], "sync")
    uncounted = {one for one in public(SessionStore) if not any(it.startswith(one) for it in names)}
    assert uncounted == set(NOT_COUNTED)


# That it would tell: each time one thing more is done than the file says.


def only_get(server: Server, face: str, **more: Any) -> list[str]:
    expected = {GET: recorded(server.backend.name, face)[GET]}
    return differences(expected, columns(counted(server, face, lambda name: name == GET, **more)))


@pytest.mark.parametrize("face", FACES)
def test_one_command_more_in_a_script_is_told(server: Server, face: str) -> None:
    def spoil(store: Any) -> None:
        runner = getattr(store, "_store", store)._runner
        script = runner.library["get_session"]
        text = script.text.replace("\nlocal ", "\nredis.call('EXISTS', KEYS[2])\nlocal ", 1)
        assert text != script.text
        runner.library = {**runner.library, "get_session": Script.of("get_session", text)}

    assert only_get(server, face, prepare=spoil) == ["get_session: inside +exists"]


@pytest.mark.parametrize("face", FACES)
def test_one_call_more_of_the_client_is_told(
    server: Server, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = sessions.get

    def wordy(context: Any, session_key: Any) -> Any:
        call = original(context, session_key)
        return Call(call.script, call.keys, ("four",), call.decode)

    monkeypatch.setattr(sessions, "get", wordy)
    # Instructions, which packing one argument more takes, are told too where they are counted.
    told = [one for one in only_get(server, face) if "instructions" not in one]
    assert told == [f"get_session: up {_up(server, 0)} -> {_up(server, 10)} (+10)"]


def _up(server: Server, more: int) -> int:
    up: int = recorded(server.backend.name, "sync")[GET]["up"]
    return up + more


@pytest.mark.parametrize("face", FACES)
def test_a_function_and_a_round_trip_more_are_told(
    server: Server, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(store: Any) -> None:
        inner = getattr(store, "_store", store)
        get = inner.get_session

        if face == "sync":
            monkeypatch.setattr(inner, "get_session", lambda key: get(key) and get(key))
            return

        async def get_twice(key: Any) -> Any:
            return await get(key) and await get(key)

        monkeypatch.setattr(inner, "get_session", get_twice)

    told = only_get(server, face, prepare=twice)
    assert "get_session: trips 1 -> 2 (+1)" in told
    assert "get_session: sent -evalsha +evalsha*2" in told
    assert any(line.startswith("get_session: functions") for line in told)


def test_a_missing_and_a_new_operation_are_told() -> None:
    known = {"old": {"trips": 1}}
    assert differences(known, {"new": {"trips": 1}}) == [
        "new: is not in the file",
        "old: is not counted any more",
    ]


def test_what_differs_by_server_or_face_stands_for_each(tmp_path: Path) -> None:
    cost = Cost(1, "evalsha", "time", 100, 10, 5, 50)
    counts: Counts = {
        ("one", "sync"): {"it": cost},
        ("two", "sync"): {"it": replace(cost, inside="time*2")},
        ("one", "async"): {"it": replace(cost, functions=6, down=11, instructions=None)},
        ("two", "async"): {"it": replace(cost, functions=6, inside="time*2", instructions=None)},
    }
    path = tmp_path / "costs.json"
    write(counts, path)
    text = path.read_text("utf-8")
    assert '"functions": {"sync": 5, "async": 6}' in text
    assert '"inside": {"one": "time", "two": "time*2"}' in text
    for (server, face), costs in counts.items():
        found = recorded(server, face, path)
        assert differences(found, columns(costs)) == []
        assert ("instructions" in found["it"]) == (face == "sync")


def test_instructions_of_another_python_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    write({("one", "sync"): {"it": Cost(1, "evalsha", "", 100, 10, 5, 50)}}, path)
    assert "instructions" in recorded("one", "sync", path)["it"]
    path.write_text(path.read_text("utf-8").replace(PYTHON, "CPython 3.99"), "utf-8")
    assert "instructions" not in recorded("one", "sync", path)["it"]
    assert "functions" in recorded("one", "sync", path)["it"]
