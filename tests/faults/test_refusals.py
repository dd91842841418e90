"""A server that answers, but will not: told apart from one that is away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from redisstore import Counters, SessionStore, StoreFull, StoreRefused, StoreUnavailable
from redisstore.calls import sessions
from redisstore.calls.call import Conditions
from tests.processes.lanes import key_of, source_of, unused_since
from tests.servers import FaultyProxy, Server, wait_until

from .operations import PAST, furnish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redisstore import StoreConfig

KEY = key_of("1")


@pytest.fixture
def full(server: Server, configured: Callable[..., StoreConfig]) -> Iterator[StoreConfig]:
    """The configuration of a furnished store whose server has reached its `maxmemory`."""
    config = configured(server.url())
    with SessionStore.from_url(config=config) as store:
        furnish(store)
        list(store.import_sessions([unused_since("old", PAST)]))
    server.ask("CONFIG", "SET", "maxmemory", "1mb")
    yield config
    server.ask("CONFIG", "SET", "maxmemory", 0)


def test_a_wrong_password_is_refused_at_once(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    with Server(server.backend, requirepass="right") as locked:
        for login in ("", ":wrong@", "nobody:right@"):
            url = locked.url().replace(":right@", login)
            store = opened(configured(url, deadline=60.0))
            with pytest.raises(StoreRefused, match="Redis refused"):
                store.get_session(KEY)


def test_a_missing_permission_is_refused_at_once(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    server.ask("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+eval", "+evalsha")
    config = configured(server.url(), deadline=60.0)
    with SessionStore.from_url(config=config) as privileged:
        furnish(privileged)
    limited = config.url.replace("redis://", "redis://reader:secret@")
    store = opened(config.model_copy(update={"url": limited}))
    with pytest.raises(StoreRefused):
        store.update_session(KEY, output_tokens=1)
    server.ask("ACL", "DELUSER", "reader")


def test_a_full_server_takes_no_writes(
    opened: Callable[[StoreConfig], SessionStore], full: StoreConfig
) -> None:
    store = opened(full)
    for write in (
        lambda: store.get_or_create_session(source_of("new")),
        lambda: store.get_or_create_session(source_of("1")),
        lambda: store.update_session(KEY, output_tokens=1),
        lambda: store.reset_session(KEY),
        lambda: store.suspend_session(KEY),
        lambda: store.take_message(KEY, "m-1"),
    ):
        with pytest.raises(StoreFull):
            write()


def update(store: Any) -> None:
    store.update_session(KEY, output_tokens=7)


def update_two(store: Any) -> None:
    """Two calls in one pipeline, as no operation asks for now."""
    counted: Counters = {"output_tokens": 7}
    keys = [key_of("1"), key_of("2")]
    store._run_all(lambda c: [sessions.update(c, k, None, counted, Conditions()) for k in keys])


@pytest.mark.parametrize("write", [update, update_two])
def test_a_server_that_is_full_after_a_reply_was_lost_does_not_say_that_nothing_was_done(
    server: Server,
    proxy: FaultyProxy,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[SessionStore], None],
) -> None:
    store = opened(configured(proxy.url()))
    furnish(store)

    def fill(*_: object) -> None:
        server.ask("CONFIG", "SET", "maxmemory", "1mb")

    monkeypatch.setattr("redisstore.retry._log.debug", fill)
    proxy.drop_replies(1)
    try:
        with pytest.raises(StoreUnavailable, match="may have been applied") as refused:
            write(store)
        assert not isinstance(refused.value, StoreFull)
        with pytest.raises(StoreFull):
            write(store)
    finally:
        server.ask("CONFIG", "SET", "maxmemory", 0)


def test_a_full_server_still_renews_holds(
    opened: Callable[[StoreConfig], SessionStore], full: StoreConfig
) -> None:
    """Else the prune that makes room would take the sessions of live processes."""
    store = opened(full)
    held = store.take_hold(KEY, "p")
    renewed = store.renew_holds([(KEY, "p")])[KEY, "p"]
    assert renewed is not None
    assert renewed >= held
    assert store.prune_old_entries(before=datetime.now(UTC)).kept["active"] == 1


@pytest.mark.parametrize("scripts", ["known", "flushed"])
def test_a_full_server_is_read_and_relieved(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    full: StoreConfig,
    scripts: str,
) -> None:
    store = opened(full)
    if scripts == "flushed":
        server.ask("SCRIPT", "FLUSH")
    assert store.get_session(KEY) is not None
    assert store.count_sessions() == 4
    assert len(list(store.list_sessions())) == 4
    assert store.prune_old_entries(before=PAST + timedelta(days=1)).removed == 1
    assert store.delete_session(KEY) is True
    assert list(store.audit()) == []


def test_a_replica_takes_no_writes(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    with Server(server.backend) as replica:
        config = configured(server.url())
        with SessionStore.from_url(config=config) as store:
            furnish(store)
        replica.ask("REPLICAOF", *server.address)
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up")
        misled = opened(config.model_copy(update={"url": replica.url()}))
        with pytest.raises(StoreUnavailable, match=r"(?i)read.?only"):
            misled.update_session(KEY, output_tokens=1)
