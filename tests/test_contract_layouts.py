"""Laying a store out, through both faces: one layout, whoever comes first, and none by reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redisstore import LayoutMismatch, SessionStore, StoreConfig
from redisstore.calls import sessions
from redisstore.calls.call import Call, Context, one
from tests.conftest import OpenStore, Site
from tests.entries import DAY, aged, key, source
from tests.turns import begun, direct_client


@pytest.fixture
def other(site: Site, namespace: str) -> Iterator[SessionStore]:
    """Another client of the same store, which was told another partition count."""
    with SessionStore.from_url(site.url, namespace=namespace, partitions=16) as store:
        yield store


def after_the_next_answer(store: Any, work: Callable[[], object]) -> None:
    """Do something between a store's question whether there is a layout and what it does then."""
    opening: Any = store._opening
    take_in = opening.found

    def found(partitions: int | None) -> None:
        opening.found = take_in
        work()
        take_in(partitions)

    opening.found = found


@pytest.mark.parametrize("site", ["cluster"], indirect=True)
def test_where_two_lay_out_a_store_at_once_one_layout_counts(
    open_store: OpenStore, other: SessionStore
) -> None:
    guessing = open_store(partitions=None)
    refused: list[LayoutMismatch] = []

    def lay_out() -> None:
        try:
            other.get_or_create_session(source("bob"))
        except LayoutMismatch as error:
            refused.append(error)

    after_the_next_answer(guessing, lay_out)
    begun(guessing).end()
    newcomer = open_store(partitions=None)
    found = {entry.session_key for entry in newcomer.list_sessions()}
    assert found == ({key("ada")} if refused else {key("ada"), key("bob")})
    assert list(newcomer.audit()) == []


@pytest.mark.parametrize("site", ["valkey-9.1", "cluster"], indirect=True)
@pytest.mark.parametrize("way", ["_run", "_run_all", "_complete"])
def test_a_call_that_was_built_before_the_layout_was_known_is_built_anew(
    open_store: OpenStore, other: SessionStore, way: str
) -> None:
    """The layout may become known meanwhile, as another thread or task has asked for it."""
    other.get_or_create_session(source("bob"))
    store: Any = open_store(partitions=None)
    built = []

    def build(context: Context) -> Any:
        call: Call[Any] = sessions.get_or_create(context, source("ada"), force_new=False)
        built.append(call.keys)
        store._opening.found(16)
        return {"_run": call, "_run_all": [call], "_complete": one(call)}[way]

    getattr(store, way)(build)
    assert built[0] != built[-1]
    assert {entry.session_key for entry in other.list_sessions()} == {key("ada"), key("bob")}
    assert list(other.audit()) == []


def test_an_import_lays_nothing_out_before_it_is_iterated(
    open_store: OpenStore, site: Site, namespace: str
) -> None:
    store = open_store()
    with direct_client(site) as client:
        result = store.import_sessions([aged("ada", DAY)])
        assert not client.exists(f"{{{namespace}}}:meta")
        assert [verdict for _, verdict in result] == ["created"]
        assert client.exists(f"{{{namespace}}}:meta")


def test_a_list_sends_nothing_before_it_is_iterated() -> None:
    nowhere = StoreConfig(url="redis://127.0.0.1:1/0", deadline=0.1, socket_timeout=0.05)
    with SessionStore.from_url(config=nowhere) as store:
        store.list_sessions()
        store.list_replicas()
        store.list_turns()
