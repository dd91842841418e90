"""All that a gateway and a dashboard do, as the documented users: nothing of it is refused."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from redisstore import AsyncSessionStore, SessionId, SessionStore, StoreConfig, StoreRefused
from redisstore.cli.app import app
from redisstore.transfer import export_file, import_file, verify_file
from tests.commands import ROOT
from tests.entries import key, source
from tests.faces import open_face
from tests.faults.operations import OPERATIONS, furnish
from tests.permissions.documented import refused
from tests.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.permissions.conftest import Place

SESSIONS = ROOT / "redisstore" / "demo" / "sessions.json"
READ_BY_HAND = (
    ("list",),
    ("show", key("ada")),
    ("stats",),
    ("turns",),
    ("replicas",),
    ("watch", "--since", "oldest", "--idle-timeout", "0"),
    ("prune", "--dry-run"),
    ("doctor",),
)


@pytest.fixture(params=["sync", "async"])
def opened(
    request: pytest.FixtureRequest, place: Place, loop: asyncio.AbstractEventLoop
) -> Iterator[Callable[..., SessionStore]]:
    stores: list[SessionStore] = []

    def open_one(url: str, **settings: Any) -> SessionStore:
        config = config_of(place, url, **settings)
        store = open_face(request.param, config, loop)
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        store.close()


def config_of(place: Place, url: str, **settings: Any) -> StoreConfig:
    return StoreConfig(**{"url": url, "partitions": place.partitions, "replica": "r", **settings})


def test_a_gateway_may_do_every_operation(
    place: Place, opened: Callable[..., SessionStore]
) -> None:
    """What brings each about, turns with message ids and switches in mid-turn, is done so too."""
    store = opened(place.as_user("gateway"))
    for operation in OPERATIONS:
        place.clear()
        furnish(store)
        operation.before(store)
        operation.answer(store)
    assert refused(place.nodes) == []


def test_a_gateway_may_wait_for_its_turn(place: Place, opened: Callable[..., SessionStore]) -> None:
    url = place.as_user("gateway")
    first, waiting = opened(url), SessionStore.from_url(config=config_of(place, url))

    def wait() -> None:
        with waiting.turn(source("ada"), "m-2", wait=60) as turn:
            turn.end(output_tokens=1)

    with waiting:
        thread = threading.Thread(target=wait)
        with first.turn(source("ada"), "m-1") as turn:
            thread.start()
            wait_until(lambda: any(running.waiting for running in first.list_turns()))
            turn.end(output_tokens=1)
        thread.join()
        entry = waiting.get_session(key("ada"))
    assert entry is not None
    assert entry.output_tokens == 2
    assert refused(place.nodes) == []


def test_a_gateway_may_switch_in_mid_turn(
    place: Place, opened: Callable[..., SessionStore]
) -> None:
    store = opened(place.as_user("gateway"))
    old = store.get_or_create_session(source("ada")).session_id
    turn: Any = store.turn(source("ada"), "m-1")
    turn.__enter__()
    store.switch_session(key("ada"), SessionId("elsewhere"))
    store.switch_session(key("ada"), old)
    with pytest.raises(Exception, match="bound anew"):
        turn.update(output_tokens=1)
    turn.__exit__(None, None, None)
    entry = store.get_session(key("ada"))
    assert entry is not None
    assert entry.output_tokens == 0
    assert refused(place.nodes) == []


def test_a_gateway_may_read_events_in_a_group(
    place: Place, opened: Callable[..., SessionStore]
) -> None:
    store = opened(place.as_user("gateway"))
    for name in ("ada", "bob", "cay"):
        store.get_or_create_session(source(name))
    kinds = [event.kind for event in store.events(group="g", since="oldest", idle_timeout=0)]
    assert kinds == ["created"] * 3
    assert {group.name for group in store.list_event_groups()} == {"g"}
    assert refused(place.nodes) == []


def test_a_gateway_may_import_twice_verify_and_export(place: Place, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    url = place.as_user("gateway")
    with SessionStore.from_url(config=config_of(place, url)) as store:
        import_file(store, SESSIONS, zone="UTC")
        count = store.count_sessions()
        assert count > 10
        later(out, SESSIONS)
        import_file(store, out, zone="UTC")
        assert store.count_sessions() == count
        assert verify_file(store, out, zone="UTC").equal == count
        import_file(store, SESSIONS, zone="UTC", amend=True)
        assert int(export_file(store, tmp_path / "again.json", zone="UTC")) == count
    assert refused(place.nodes) == []


def later(out: Path, path: Path) -> None:
    """Write the rows of a file anew, all active a moment later."""
    rows = json.loads(path.read_text("utf-8"))
    for row in rows.values():
        if isinstance(row, dict):
            moment = datetime.fromisoformat(row["updated_at"])
            row["updated_at"] = (moment + timedelta(seconds=1)).isoformat()
    out.write_text(json.dumps(rows), "utf-8")


def test_a_gateway_may_run_the_maintenance(place: Place) -> None:
    url = place.as_user("gateway")
    config = config_of(place, url, heartbeat_ttl=1, job_lease_ttl=1)

    async def run() -> None:
        async with AsyncSessionStore.from_url(config=config) as store, store.maintenance():
            await store.drain(0)

    with SessionStore.from_url(config=config) as store:
        furnish(store)
        with store.maintenance(lambda _: None):
            wait_until(lambda: bool(list(store.list_replicas())))
    asyncio.run(run())
    assert refused(place.nodes) == []


def test_a_gateway_may_repair(place: Place, opened: Callable[..., SessionStore]) -> None:
    store = opened(place.as_user("gateway", "`redisstore doctor`"))
    furnish(store)
    assert list(store.audit(repair=True)) == []
    assert list(store.list_servers())
    assert refused(place.nodes) == []


@pytest.mark.parametrize("words", READ_BY_HAND, ids=lambda words: words[0])
def test_a_dashboard_may_look(place: Place, words: tuple[str, ...]) -> None:
    with SessionStore.from_url(config=config_of(place, place.url)) as store:
        store.get_or_create_session(source("ada"))
        list(store.events(group="g", since="oldest", idle_timeout=0))
        with store.turn(source("ada"), "m-1"):
            done = looked(place, words)
    assert done.exit_code == 0, (done.stdout, done.exception)
    assert refused(place.nodes) == []


def looked(place: Place, words: tuple[str, ...]) -> Any:
    return CliRunner().invoke(app, words, env={"REDISSTORE_URL": place.as_user("reader")})


def test_a_dashboard_may_export_and_verify(place: Place, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with SessionStore.from_url(config=config_of(place, place.url)) as store:
        import_file(store, SESSIONS, zone="UTC")
    with SessionStore.from_url(config=config_of(place, place.as_user("reader"))) as reader:
        export_file(reader, out, zone="UTC")
        assert verify_file(reader, out, zone="UTC").equal > 10
    assert refused(place.nodes) == []


def test_a_dashboard_changes_nothing(place: Place, opened: Callable[..., SessionStore]) -> None:
    with SessionStore.from_url(config=config_of(place, place.url)) as store:
        reader = opened(place.as_user("reader"))
        for operation in OPERATIONS:
            place.clear()
            furnish(store)
            operation.before(store)
            before = place.contents()
            if operation.writes:
                with suppress(StoreRefused):
                    operation.answer(reader)
            else:
                operation.answer(reader)
            assert place.contents() == before, operation.name
    assert refused(place.nodes)
