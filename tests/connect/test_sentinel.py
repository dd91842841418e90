"""Sentinels lead to the present master, and have a login of their own."""

from __future__ import annotations

from typing import Any

import pytest
from redis import exceptions as rx

from redisstore import SessionStore, StoreUnavailable
from redisstore.connect import connect, connect_async
from tests.connect.connections import config, eventually
from tests.connect.crowd import check_that_tasks_wait, check_that_threads_wait
from tests.connect.login import QUOTED, SECRET
from tests.entries import key, source
from tests.servers import SentinelSetup, Server, wait_until


async def test_sentinels_lead_to_the_present_master() -> None:
    with SentinelSetup("valkey-9.1", requirepass="secret") as setup:
        url = setup.url(db=2).replace("sentinel://", "sentinel://:secret@")
        # Each of many new connections asks a sentinel first: on a busy machine that takes a while.
        patient = config(url, socket_timeout=10, deadline=30)
        made, made_async = connect(patient), connect_async(patient)
        assert made.label == made_async.label == url.replace("secret", "***")
        client: Any = made.client
        async_client: Any = made_async.client

        def written() -> bool:
            try:
                return bool(client.set("key", "new"))
            except rx.RedisError:
                return False

        try:
            client.set("key", "value")
            assert await async_client.get("key") == b"value"
            assert client.client_info()["db"] == 2
            check_that_threads_wait(client)
            await check_that_tasks_wait(async_client)
            setup.fail_master()
            wait_until(written)
            assert await eventually(async_client, "key") == b"new"
        finally:
            client.close()
            await async_client.aclose()


def test_a_store_of_threads_follows_the_master() -> None:
    with SentinelSetup("valkey-9.1") as setup:
        patient = config(setup.url(), socket_timeout=10, deadline=60)
        with SessionStore.from_url(config=patient) as store:
            assert store.get_or_create_session(source("1")).session_key == key("1")
            assert setup.master.info("keyspace")
            setup.fail_master()
            assert store.get_or_create_session(source("2")).session_key == key("2")


def test_sentinels_have_a_login_of_their_own() -> None:
    with Server("valkey-9.1", mode="sentinel", requirepass=SECRET) as sentinel:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main?sentinel_password={QUOTED}"
        client: Any = connect(config(url)).client
        with pytest.raises(rx.ConnectionError, match="No master found for 'main'"):
            client.ping()
        client.close()


def test_sentinels_that_are_away_are_told_by_host_and_port() -> None:
    away = config("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main", deadline=0.5)
    with SessionStore.from_url(config=away) as store, pytest.raises(StoreUnavailable) as caught:
        store.count_sessions()
    assert "127.0.0.1:1 - " in str(caught.value)
    assert "127.0.0.1:2 - " in str(caught.value)
    assert "<redis" not in str(caught.value)
