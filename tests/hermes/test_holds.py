"""The gateway's background processes as holds: there for as long as the gateway says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redisstore import SessionStore, StoreConfig
from redisstore.hermes.holds import Holds
from tests.conftest import Sites
from tests.entries import key, source
from tests.servers import BACKEND_NAMES, wait_until

ADA, BOB = key("ada"), key("bob")


@pytest.fixture
def store(sites: Sites, namespace: str) -> Iterator[SessionStore]:
    config = StoreConfig(
        url=sites.get(BACKEND_NAMES[0]).url,
        namespace=namespace,
        replica="gateway",
        process_hold_ttl=1.0,
    )
    with SessionStore.from_url(config=config) as store:
        for name in ("ada", "bob"):
            store.get_or_create_session(source(name))
        yield store
        assert list(store.audit()) == []


def test_a_session_is_held_while_the_gateway_has_a_process_of_it(store: SessionStore) -> None:
    active = {ADA}
    holds = Holds(store, active.__contains__)
    holds.note(ADA)
    holds.note(BOB)
    holds.note("")
    wait_until(lambda: store.list_holds(ADA) != {})
    assert store.list_holds(BOB) == {}
    active.clear()
    holds.note(ADA)
    wait_until(lambda: store.list_holds(ADA) == {})
    holds.close()


def test_what_no_longer_counts_is_let_go_though_nobody_says_so(store: SessionStore) -> None:
    active = {ADA}
    holds = Holds(store, active.__contains__)
    holds.note(ADA)
    wait_until(lambda: store.list_holds(ADA) != {})
    active.clear()
    wait_until(lambda: store.list_holds(ADA) == {})
    holds.close()


def test_a_registry_that_fails_counts_as_active(store: SessionStore) -> None:
    def fails(_: str) -> bool:
        raise RuntimeError("the registry is broken")

    holds = Holds(store, fails)
    holds.note(ADA)
    wait_until(lambda: store.list_holds(ADA) != {})
    holds.close()
    assert store.list_holds(ADA) == {}


def test_a_process_of_an_unknown_session_holds_nothing(store: SessionStore) -> None:
    holds = Holds(store, lambda _: True)
    holds.note(key("nobody"))
    holds.note(ADA)
    wait_until(lambda: store.list_holds(ADA) != {})
    holds.close()
    assert store.get_session(key("nobody")) is None
