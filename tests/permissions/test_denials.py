"""A permission that is missing is told, and where it is one to read, nothing has changed.

Scripts do not roll back, so what is read is read before the first write; and no error is taken for
an answer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from redisstore import RedisStoreError, SessionStore, StoreConfig, StoreRefused
from tests.commands import ROOT
from tests.entries import DAY, aged
from tests.faults.operations import OPERATIONS, Operation, furnish
from tests.permissions.documented import introduce, login, permissions_of, refused
from tests.servers import BACKEND_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.permissions.conftest import Place, Places

COSTS = json.loads((ROOT / "tests" / "data" / "costs.json").read_text("utf-8"))["operations"]


@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_a_missing_permission_is_told(places: Places, backend: str) -> None:
    place = places.get(f"{backend}/1")
    (node,) = place.nodes
    writes = {f"+{name.decode()}" for name in node.ask("ACL", "CAT", "write")}
    permissions = permissions_of("gateway")
    url = login(place.url, permissions, "gateway")
    introduce([node], "gateway", permissions)
    found, refusals = [], 0
    with (
        SessionStore.from_url(config=StoreConfig(url=place.url, replica="r")) as able,
        SessionStore.from_url(config=StoreConfig(url=url, replica="r")) as limited,
    ):
        limited.layout()
        for operation in OPERATIONS:
            for missing in _inside(operation, permissions):
                _prepare(place, able, operation)
                introduce([node], "gateway", [one for one in permissions if one != missing])
                before = place.contents()
                told = _attempted(operation, limited)
                refusals += len(refused([node]))
                if refused([node]) and not told:
                    found.append(f"{operation.name}, without {missing}: not told")
                # Of several calls, those before were not refused.
                if operation.calls(1) == 1 and missing not in writes and place.contents() != before:
                    found.append(f"{operation.name}, without {missing}: changed")
    assert not found, "\n".join(found)
    assert refusals > len(OPERATIONS)


def _inside(operation: Operation, permissions: Sequence[str]) -> Iterator[str]:
    """Give the permissions that an operation needs within its scripts."""
    for word in COSTS[operation.name]["inside"].split():
        permission = f"+{word.partition('*')[0]}"
        assert permission in permissions
        yield permission


def _prepare(place: Place, store: SessionStore, operation: Operation) -> None:
    place.clear()
    furnish(store)
    operation.before(store)


def _attempted(operation: Operation, store: SessionStore) -> bool:
    """Say whether the operation was refused, and said so."""
    try:
        operation.answer(store)
    except StoreRefused:
        return True
    except RedisStoreError:
        return False
    return False


@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_an_import_over_a_session_leaves_it_whole(places: Places, backend: str) -> None:
    """Whichever permission is missing: to read, or to write, in the middle of it."""
    place = places.get(f"{backend}/1")
    permissions = permissions_of("gateway")
    url = login(place.url, permissions, "gateway")
    introduce(place.nodes, "gateway", permissions)
    older = aged("ada", 2 * DAY, display_name="x" * 200, chat_topic="old")
    newer = aged("ada", DAY, total_tokens=7)
    told = 0
    with (
        SessionStore.from_url(config=StoreConfig(url=place.url, replica="r")) as able,
        SessionStore.from_url(config=StoreConfig(url=url, replica="r")) as limited,
    ):
        limited.layout()
        for missing in [one for one in permissions if one.startswith("+")]:
            place.clear()
            assert [verdict for _, verdict in able.import_sessions([older])] == ["created"]
            introduce(place.nodes, "gateway", [one for one in permissions if one != missing])
            try:
                assert [verdict for _, verdict in limited.import_sessions([newer])] == ["updated"]
            except StoreRefused:
                told += 1
            stored = able.get_session(older.session_key)
            assert stored is not None, missing
            assert (stored.display_name, stored.total_tokens) in {
                (older.display_name, 0),
                (newer.display_name, 7),
            }, missing
    assert told > 8
