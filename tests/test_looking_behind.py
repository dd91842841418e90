"""What a test leaves behind is audited, and its stores are closed whatever that finds."""

from __future__ import annotations

import pytest

from redisstore import SessionStore, StoreConfig
from tests.conftest import Sites, looked_behind
from tests.entries import source

REPLICA = "left-behind"


def connected(sites: Sites) -> int:
    with sites.server("valkey-9.1").client() as client:
        return sum(found["name"].endswith(REPLICA) for found in client.client_list())


def leave(sites: Sites, namespace: str, *, damages: bool) -> None:
    url = sites.server("valkey-9.1").url()
    config = StoreConfig(url=url, namespace=namespace, replica=REPLICA)
    with looked_behind(lambda: SessionStore.from_url(config=config), damages=damages) as opened:
        for store in (opened(), opened()):
            store.get_or_create_session(source("ada"))
        assert connected(sites) >= 2
        with sites.server("valkey-9.1").client() as client:
            client.set(f"{{{namespace}}}:notes", "by hand")


def test_what_a_test_has_damaged_fails_it_and_its_stores_are_closed(
    sites: Sites, namespace: str
) -> None:
    with pytest.raises(AssertionError, match="is no key of this layout"):
        leave(sites, namespace, damages=False)
    assert connected(sites) == 0


def test_what_it_says_that_it_damages_is_left(sites: Sites, namespace: str) -> None:
    leave(sites, namespace, damages=True)
    assert connected(sites) == 0
