"""Readers of events lose none of them, whatever happens on the way or to the server."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from redisstore import Event, SessionKey, SessionStore, StoreUnavailable
from tests.processes.lanes import key_of, source_of
from tests.servers import Server, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redisstore import StoreConfig
    from tests.servers import FaultyProxy

NAMES = [str(number) for number in range(12)]
CHANGES = 60
"""To each lane, while the server is restarted."""


def _lose_reply(_: Server, proxy: FaultyProxy) -> None:
    proxy.drop_replies()


def _lose_request(_: Server, proxy: FaultyProxy) -> None:
    proxy.drop_requests()


def _cut(_: Server, proxy: FaultyProxy) -> None:
    proxy.cut()


def _flush_scripts(server: Server, _: FaultyProxy) -> None:
    server.ask("SCRIPT", "FLUSH")


@pytest.mark.parametrize("fault", [_lose_reply, _lose_request, _cut, _flush_scripts])
@pytest.mark.parametrize("how", [{}, {"group": "agents"}], ids=["onlooker", "group"])
def test_a_fault_at_any_step_loses_and_repeats_nothing(
    server: Server,
    proxy: FaultyProxy,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
    how: dict[str, str],
    fault: Callable[[Server, FaultyProxy], None],
) -> None:
    config = configured(proxy.url(), partitions=2)
    store = opened(config)
    for name in NAMES:
        store.get_or_create_session(source_of(name))
    read: Any = store.events
    events = read(since="oldest", idle_timeout=0, **how)
    told: list[Event] = []
    while True:
        fault(server, proxy)
        event = next(events, None)
        proxy.pass_through()
        if event is None:
            break
        told.append(event)
    assert sorted(str(event.session_key) for event in told) == sorted(map(key_of, NAMES))
    for partition in (0, 1):
        mine = [event.id for event in told if event.partition == partition]
        assert mine == sorted(mine)
    if how:
        assert list(read(idle_timeout=0, **how)) == []
        assert {group.pending for group in store.list_event_groups()} == {0}


def test_what_was_given_out_in_vain_is_given_again(
    server: Server,
    proxy: FaultyProxy,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
) -> None:
    config = configured(proxy.url())
    with SessionStore.from_url(config=config.model_copy(update={"url": server.url()})) as other:
        for name in NAMES:
            other.get_or_create_session(source_of(name))
    store = opened(config)
    store.layout()
    proxy.hold_replies()
    with pytest.raises(StoreUnavailable):
        next(store.events(group="agents", since="oldest"))
    proxy.pass_through()
    told = list(store.events(group="agents", idle_timeout=0))
    assert [event.session_key for event in told] == [key_of(name) for name in NAMES]


def test_readers_miss_nothing_over_a_restart(
    server: Server, configured: Callable[..., StoreConfig]
) -> None:
    with Server(server.backend, appendonly=True, appendfsync="always") as durable:
        config = configured(durable.url(), deadline=60.0, partitions=2)
        with SessionStore.from_url(config=config) as store:
            made = {key_of(name): [_begin(store, name)] for name in NAMES}
            with (
                _reading(config) as onlooker,
                _reading(config, group="agents", consumer="one") as one,
                _reading(config, group="agents", consumer="other") as other,
            ):
                for change in range(CHANGES):
                    if change == CHANGES // 2:
                        durable.kill()
                        threading.Timer(0.2, durable.start).start()
                    for name in NAMES:
                        made[key_of(name)].append(_begin(store, name))
                everything = len(NAMES) * (CHANGES + 1)
                wait_until(lambda: len(onlooker) == everything)
                wait_until(lambda: len({event.id for event in one + other}) == everything)
            assert _by_session(onlooker) == made
            once = {event.id: event for event in one + other}
            assert _by_session([once[event.id] for event in onlooker]) == made
            assert list(store.audit()) == []


def _begin(store: SessionStore, name: str) -> str:
    return store.get_or_create_session(source_of(name), force_new=True).session_id


@contextmanager
def _reading(config: StoreConfig, **how: Any) -> Iterator[list[Event]]:
    """Read in a thread, from the oldest event on, for as long as a block runs."""
    seen: list[Event] = []
    store = SessionStore.from_url(config=config)

    def read() -> None:
        seen.extend(store.events(since="oldest", **how))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        store.close()
        reader.join()


def _by_session(events: list[Event]) -> dict[SessionKey, list[str]]:
    found: dict[SessionKey, list[str]] = {}
    for event in events:
        assert event.session_key is not None
        assert event.session_id is not None
        found.setdefault(event.session_key, []).append(event.session_id)
    return found
