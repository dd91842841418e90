"""Every acknowledged change is in the event streams, once and in order, whoever made it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from redisstore import SessionKey, SessionStore, StoreConfig
from tests.servers import BACKEND_NAMES, Server, require, wait_until

from .lanes import key_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .crew import Crew

NAMES = ["1", "2", "3", "{4}", "5\n"]
CHANGES = 150
"""By each process."""

Told = dict[bytes, bytes]
Change = tuple[str, str, str]
"""Event, session key, session id."""


def test_the_streams_tell_every_change_in_order(
    crew: Crew, configured: Callable[..., StoreConfig]
) -> None:
    config = configured()
    with SessionStore.from_url(config=config) as store:
        changes = crew.each([_stirring(seed) for seed in range(crew.size)], config)
        told = _streams(store)
        _follow_all(told)
        assert Counter(change for some in changes for change in some) == _events(told)
        read = list(store.events(since="oldest", idle_timeout=0))
        assert Counter((one.kind, one.session_key, one.session_id) for one in read) == _events(told)
        for key, some in told.items():
            mine = [event.session_id for event in read if event.session_key == key]
            assert mine == [event[b"session_id"].decode() for event in some]
        assert list(store.audit()) == []


def test_each_event_is_handled_though_consumers_are_killed(
    crew: Crew, configured: Callable[..., StoreConfig], tmp_path: Path
) -> None:
    config = configured()
    notes = [tmp_path / str(number) for number in range(3)]
    consumers = [("consume", {"consumer": note.name, "handled": note}) for note in notes]

    def handled() -> list[str]:
        return [
            identifier for note in notes if note.exists() for identifier in note.read_text().split()
        ]

    with SessionStore.from_url(config=config) as store:
        shift = crew.begin([*consumers, *map(_stirring, range(crew.size - len(notes)))], config)
        wait_until(lambda: len(handled()) > CHANGES)
        shift.kill(0)
        wait_until(lambda: len(handled()) > 2 * CHANGES)
        shift.kill(1)
        shift.kill(2)
        shift.finish()
        heir = store.events(group="agents", consumer="heir", claim_after=0.1, idle_timeout=5)
        everything = {event.id for event in store.events(since="oldest", idle_timeout=0)}
        done = handled()
        while set(done) != everything:
            done.append(next(heir).id)
        # Each that was killed may have handled one event without being back for the next.
        assert len(done) <= len(everything) + len(notes)


@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_a_restart_with_an_append_only_file_loses_none(crew: Crew, backend: str) -> None:
    with Server(require(backend), appendonly=True, appendfsync="always") as server:
        config = StoreConfig(url=server.url(), namespace="e", deadline=60, replica="gateway")
        with SessionStore.from_url(config=config) as store:
            shift = crew.begin([_stirring(seed) for seed in range(crew.size)], config)
            wait_until(lambda: sum(map(len, _streams(store).values())) > CHANGES)
            server.kill()
            server.start()
            changes = [change for some in shift.finish() for change in some]
            told = _streams(store)
            _follow_all(told)
            # A call that was repeated, one a process, answers with the session as it is then: a
            # later one, or none. So what it made is told under another name than it was noted.
            events = _events(told)
            assert (Counter(changes) - events).total() <= crew.size
            assert len(changes) <= events.total() <= len(changes) + crew.size
            assert list(store.audit()) == []


def _stirring(seed: int) -> tuple[str, dict[str, object]]:
    return "stir", {"names": NAMES, "changes": CHANGES, "seed": seed}


def _streams(store: SessionStore) -> dict[SessionKey, list[Told]]:
    """All events by session, read past the store, in the order of their streams."""
    context = store.layout()
    client: Any = store._runner.connection.client
    told: dict[SessionKey, list[Told]] = {}
    for home in context.space.partitions if context else ():
        for _, event in client.xrange(home.events):
            told.setdefault(SessionKey(event[b"session_key"].decode()), []).append(event)
    return told


def _events(told: dict[SessionKey, list[Told]]) -> Counter[Change]:
    return Counter(
        (event[b"event"].decode(), key, event[b"session_id"].decode())
        for key, some in told.items()
        for event in some
    )


def _follow_all(told: dict[SessionKey, list[Told]]) -> None:
    assert set(told) == {key_of(name) for name in NAMES}
    for some in told.values():
        _follow(some)


def _follow(events: list[Told]) -> None:
    """Each event of a session begins with the conversation that the one before has left."""
    bound: bytes | None = None
    for event in events:
        match event[b"event"]:
            case b"created":
                assert bound is None
                bound = event[b"session_id"]
            case b"reset" | b"switched":
                assert event[b"old_session_id"] == bound
                bound = event[b"session_id"]
            case b"deleted":
                assert event[b"session_id"] == bound
                bound = None
            case _:
                assert event[b"session_id"] == bound
