"""A server that restarts, hangs, loads or is busy: the right answer, or the right error in time."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis
from redis.asyncio.connection import AbstractConnection
from redis.connection import AbstractConnection as SyncConnection

from redisstore import AsyncSessionStore, SessionStore, StoreUnavailable
from tests.processes.lanes import key_of, source_of
from tests.servers import Server, wait_until

from .operations import LANES, OPERATIONS, Operation, furnish

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisstore import SessionEntry, StoreConfig
    from tests.servers import FaultyProxy

KEY = key_of("1")
HANG_GUARD = 3
"""How many deadlines a call may take before it counts as hung; machines are busy at times."""

SLOW_SCRIPT = """
local t = redis.call('TIME')
local till = t[1] * 1000 + t[2] / 1000 + ARGV[1]
repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > till
"""


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_a_restarted_server_goes_on_where_it_was(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
    end: Callable[[Server], None],
) -> None:
    with Server(server.backend, appendonly=True, appendfsync="always") as durable:
        store = opened(configured(durable.url(), deadline=10.0))
        store.get_or_create_session(source_of("1"))
        store.update_session(KEY, output_tokens=2)
        end(durable)
        with ThreadPoolExecutor(1) as aside:
            starting = aside.submit(durable.start)
            entry = store.update_session(KEY, output_tokens=3)
            starting.result()
        assert _counted(entry) == (5, 3)
        assert list(store.audit()) == []


def test_a_connection_that_another_call_has_closed_is_a_lost_one(
    server: Server, configured: Callable[..., StoreConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the asyncio client of a Cluster closes those of others when one of its calls fails."""
    closed: list[AbstractConnection] = []

    async def close_once(connection: AbstractConnection) -> None:
        if not closed:
            closed.append(connection)
            await connection.disconnect(nowait=True)

    async def run() -> int:
        config = configured(server.url(), partitions=2)  # two calls, on a connection of the pool
        async with AsyncSessionStore.from_url(config=config) as store:
            await store.get_or_create_session(source_of("1"))
            monkeypatch.setattr(AbstractConnection, "check_health", close_once)
            return await store.count_sessions()

    assert asyncio.run(run()) == 1
    assert closed


def test_a_fault_of_the_program_is_not_taken_for_a_lost_connection(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = opened(configured(server.url(), partitions=2))
    assert store.count_sessions() == 0

    def misspelled(*_: object) -> None:
        server.misspelled  # type: ignore[attr-defined]  # noqa: B018 - that is the fault

    for connection in (AbstractConnection, SyncConnection):
        monkeypatch.setattr(connection, "pack_commands", misspelled)
    monkeypatch.setattr("redisstore.connect.exchange.packed", misspelled)
    monkeypatch.setattr("redisstore.connect.line.packed", misspelled)
    with pytest.raises(AttributeError, match="misspelled"):
        store.count_sessions()
    monkeypatch.undo()
    assert store.count_sessions() == 0


def test_every_call_of_threads_to_a_hung_server_ends_and_the_store_recovers(
    proxy: FaultyProxy, configured: Callable[..., StoreConfig]
) -> None:
    config = configured(proxy.url(), partitions=2)
    with (
        SessionStore.from_url(config=config) as store,
        ThreadPoolExecutor(len(OPERATIONS)) as threads,
    ):
        furnish(store)
        proxy.hang()
        started = time.monotonic()
        refusals = list(threads.map(lambda operation: _outcome(operation, store), OPERATIONS))
        took = time.monotonic() - started
        proxy.pass_through()
        assert [type(refusal) for refusal in refusals] == [StoreUnavailable] * len(OPERATIONS)
        assert took < HANG_GUARD * config.deadline
        assert store.count_sessions() == len(LANES)
        assert list(store.audit()) == []


async def test_every_call_of_tasks_to_a_hung_server_ends_and_the_store_recovers(
    proxy: FaultyProxy, configured: Callable[..., StoreConfig]
) -> None:
    config = configured(proxy.url(), partitions=2)
    async with AsyncSessionStore.from_url(config=config) as store:
        await store.get_or_create_session(source_of("1"))
        proxy.hang()
        started = time.monotonic()
        refusals = await asyncio.gather(
            *(_awaited(operation, store) for operation in OPERATIONS), return_exceptions=True
        )
        took = time.monotonic() - started
        proxy.pass_through()
        assert [type(refusal) for refusal in refusals] == [StoreUnavailable] * len(OPERATIONS)
        assert took < HANG_GUARD * config.deadline
        assert await store.count_sessions() == 1
        assert [fault async for fault in store.audit()] == []


def test_what_a_frozen_server_does_late_it_does_once(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    store = opened(configured(server.url()))
    store.get_or_create_session(source_of("1"))
    store.update_session(KEY)
    with server.paused(), pytest.raises(StoreUnavailable):
        store.update_session(KEY, output_tokens=7)
    wait_until(lambda: server.ask("PING"))
    late = store.get_session(KEY)
    tokens, version = _counted(late)
    assert (tokens, version) in {(0, 2), (7, 3)}
    entry = store.update_session(KEY, output_tokens=1)
    assert _counted(entry) == (tokens + 1, version + 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.update_session(KEY, output_tokens=7),
        lambda s: s.get_or_create_session(source_of("1"), force_new=True),
        lambda s: s.reset_session(KEY),
    ],
    ids=["update", "force_new", "reset"],
)
def test_a_call_whose_reply_is_late_is_applied_once(
    proxy: FaultyProxy,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
    call: Callable[[SessionStore], SessionEntry | None],
) -> None:
    store = opened(configured(proxy.url(), deadline=10.0, socket_timeout=0.2))
    store.get_or_create_session(source_of("1"))
    call(store)
    _, before = _counted(store.get_session(KEY))
    held = proxy.connections
    proxy.hold_replies()
    with ThreadPoolExecutor(1) as aside:
        # A new connection means that the first attempt has timed out: its reply is late.
        passing = aside.submit(_pass_after_another_connection, proxy, held)
        entry = call(store)
        passing.result()
    assert _counted(entry)[1] == before + 1


def test_a_busy_server_is_waited_for(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    server.ask("CONFIG", "SET", "lua-time-limit", 5)
    store = opened(configured(server.url(), deadline=10.0))
    store.get_or_create_session(source_of("1"))
    with ThreadPoolExecutor(1) as aside:
        slow = aside.submit(server.ask, "EVAL", SLOW_SCRIPT, 0, 400)
        wait_until(lambda: _refuses(server, "BUSY"))
        entry = store.update_session(KEY, output_tokens=7)
        slow.result()
    assert _counted(entry) == (7, 2)


def test_a_loading_server_is_waited_for(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    with Server(
        server.backend,
        enable_debug_command="yes",
        key_load_delay=100,
        loading_process_events_interval_bytes=1024,
    ) as loading:
        loading.ask("DEBUG", "POPULATE", 6000)
        store = opened(configured(loading.url(), deadline=10.0))
        store.get_or_create_session(source_of("1"))
        with ThreadPoolExecutor(1) as aside:
            reload = aside.submit(loading.ask, "DEBUG", "RELOAD")
            wait_until(lambda: _refuses(loading, "LOADING"))
            entry = store.update_session(KEY, output_tokens=7)
            reload.result()
        assert _counted(entry) == (7, 2)


def _counted(entry: SessionEntry | None) -> tuple[int, int]:
    """What a call that was applied twice would show: the tokens, and the version."""
    assert entry is not None
    return entry.output_tokens, entry.version


def _outcome(operation: Operation, store: SessionStore) -> object:
    try:
        return operation.answer(store)
    except Exception as error:  # noqa: BLE001 - compared with what it should be
        return error


async def _awaited(operation: Operation, store: AsyncSessionStore) -> object:
    returned: Any = operation.call(cast("SessionStore", store))
    if operation.streams:
        return [item async for item in returned]
    return await returned


def _pass_after_another_connection(proxy: FaultyProxy, held: int) -> None:
    known = proxy.connections
    wait_until(lambda: proxy.connections != known or proxy.connections > held)
    proxy.pass_through()


def _refuses(server: Server, code: str) -> bool:
    """Whether the server answers a command with this error."""
    try:
        server.ask("GET", "anything")
    except (redis.BusyLoadingError, redis.ResponseError) as error:
        return code in str(error).upper() or isinstance(error, redis.BusyLoadingError)
    return False
