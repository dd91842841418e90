"""Clients that believe in different layouts never write beside one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from redisstore import LayoutMismatch, SessionStore
from tests.processes.lanes import key_of, source_of

from .operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisstore import StoreConfig
    from tests.servers import Server

READS = [operation for operation in OPERATIONS if not operation.writes]


@pytest.fixture(autouse=True)
def _empty(server: Server) -> None:
    server.ask("FLUSHALL")


def test_another_partition_count_is_refused(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    config = configured(server.url(), partitions=4)
    with SessionStore.from_url(config=config) as laid_out:
        laid_out.get_or_create_session(source_of("1"))
    before = _keys(server)
    store = opened(config.model_copy(update={"partitions": 1}))
    for operation in OPERATIONS:
        with pytest.raises(LayoutMismatch, match="4 partitions"):
            operation.answer(store)
    assert _keys(server) == before


def test_one_that_began_by_reading_an_empty_server_is_refused_too(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    config = configured(server.url(), partitions=1)
    store = opened(config)
    assert store.get_session(key_of("1")) is None
    with SessionStore.from_url(config=config.model_copy(update={"partitions": 4})) as other:
        other.get_or_create_session(source_of("1"))
    for call in (store.get_session, store.suspend_session):
        with pytest.raises(LayoutMismatch):
            call(key_of("1"))


def test_one_that_names_no_partition_count_takes_what_is_stored(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    config = configured(server.url())
    store = opened(config)
    assert store.get_session(key_of("1")) is None
    with SessionStore.from_url(config=config.model_copy(update={"partitions": 4})) as other:
        entry = other.get_or_create_session(source_of("1"))
    assert store.get_session(key_of("1")) == entry


def test_reading_leaves_no_key_in_an_empty_server(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    store = opened(configured(server.url()))
    for operation in READS:
        operation.answer(store)
    assert list(store.audit()) == []
    assert store.layout() is None
    assert _keys(server) == set()


@pytest.mark.parametrize("named", [True, False])
def test_a_store_that_lost_its_server_s_data_lays_it_out_alike(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
    named: bool,
) -> None:
    config = configured(server.url(), partitions=4)
    with SessionStore.from_url(config=config) as first:
        first.get_or_create_session(source_of("1"))
    store = opened(config if named else config.model_copy(update={"partitions": None}))
    assert store.count_sessions() == 1
    server.ask("FLUSHALL")
    server.ask("SCRIPT", "FLUSH")
    store.get_or_create_session(source_of("1"))
    meta = server.ask("HGETALL", f"{{{config.namespace}}}:meta")
    assert meta == {b"layout": b"1", b"partitions": b"4", b"events": b"10000"}
    assert list(store.audit()) == []
    with SessionStore.from_url(config=config) as later:
        assert later.count_sessions() == 1


def test_a_message_taken_before_there_is_a_session_lays_the_store_out(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    config = configured(server.url(), partitions=4)
    store = opened(config)
    for _ in ("an empty server", "one that lost its data"):
        assert store.take_message(key_of("1"), "m-1") is True
        with pytest.raises(LayoutMismatch, match="4 partitions"):
            opened(config.model_copy(update={"partitions": 1})).take_message(key_of("1"), "m-1")
        assert list(store.audit()) == []
        server.ask("FLUSHALL")


def _keys(server: Server) -> set[bytes]:
    found: list[bytes] = server.ask("KEYS", "*")
    return set(found)
