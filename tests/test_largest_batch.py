"""The largest batch of a prune: Lua hands a command only some thousand values."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from redisstore import SessionStore, StoreConfig
from tests.conftest import Sites
from tests.entries import DAY, aged, key, put
from tests.servers import BACKEND_NAMES

PREFIX = "{redisstore}:"
NAMES = [str(n) for n in range(1000)]


@pytest.fixture(params=BACKEND_NAMES)
def raw(request: pytest.FixtureRequest, sites: Sites) -> Iterator[redis.Redis]:
    with sites.server(request.param).client() as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.mark.damages
@pytest.mark.parametrize("damage", ["none", "no entries", "scores"])
def test_a_thousand_sessions_are_pruned_at_once(raw: redis.Redis, damage: str) -> None:
    config = StoreConfig(prune_batch_size=1000)
    with SessionStore(raw, config=config) as store:
        put(store, [aged(name, DAY) for name in NAMES])
        keys = [key(name) for name in NAMES]
        # Holds and turns that have lapsed go with their sessions.
        raw.zadd(PREFIX + "active", dict.fromkeys(keys, 1))
        raw.zadd(PREFIX + "turns", dict.fromkeys(keys, 1))
        if damage == "no entries":
            raw.delete(*(f"{PREFIX}entry:{one}" for one in keys))
        elif damage == "scores":
            raw.zadd(PREFIX + "updated_at", dict.fromkeys(keys, 1))
        report = store.prune_old_entries(max_age_days=0.5 if damage != "scores" else 2)
        assert (report.removed, report.repaired) == ((1000, 0) if damage == "none" else (0, 1000))
        if damage == "none":
            assert list(store.audit()) == []
