"""Eight processes that meet the same lane at the same moment agree on its session."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from redisstore import SessionResetPolicy, SessionStore

from .lanes import key_of, source_of, unused_since

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisstore import StoreConfig

    from .crew import Crew

NAMES = [str(number) for number in range(25)]


def test_a_new_lane_gets_one_session_id(crew: Crew, configured: Callable[..., StoreConfig]) -> None:
    config = configured()
    with SessionStore.from_url(config=config) as store:
        agreed = resolve_together(crew, config, store)
        for name in NAMES:
            assert entry_version(store, name) == crew.size
        assert len(agreed) == len(NAMES)
        assert list(store.audit()) == []


def test_an_expired_lane_is_reset_once(crew: Crew, configured: Callable[..., StoreConfig]) -> None:
    config = configured(default_reset_policy=SessionResetPolicy(mode="idle", idle_minutes=1))
    with SessionStore.from_url(config=config) as store:
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        imported = list(store.import_sessions(unused_since(name, an_hour_ago) for name in NAMES))
        assert {verdict for _, verdict in imported} == {"created"}
        agreed = resolve_together(crew, config, store)
        assert agreed.isdisjoint(f"old-{name}" for name in NAMES)
        for name in NAMES:
            entry = store.get_session(key_of(name))
            assert entry is not None
            assert (entry.auto_reset_reason, entry.reset_had_activity) == ("idle", True)
            assert entry.version == 1 + crew.size
        assert list(store.audit()) == []


def test_a_suspended_lane_is_reset_once(crew: Crew, configured: Callable[..., StoreConfig]) -> None:
    config = configured()
    with SessionStore.from_url(config=config) as store:
        before = {store.get_or_create_session(source_of(name)).session_id for name in NAMES}
        assert all(store.suspend_session(key_of(name)) for name in NAMES)
        agreed = resolve_together(crew, config, store)
        assert agreed.isdisjoint(before)
        for name in NAMES:
            entry = store.get_session(key_of(name))
            assert entry is not None
            assert (entry.auto_reset_reason, entry.suspended) == ("suspended", False)
            assert entry.version == 2 + crew.size
        assert list(store.audit()) == []


def test_forced_sessions_follow_one_another_and_all_see_the_last(
    crew: Crew, configured: Callable[..., StoreConfig]
) -> None:
    config = configured()
    answers = crew.together("resolve", config, names=["1"] * 20, force_new=True)
    seen = [pair for answer in answers for pair in answer]
    assert sorted(version for _, version in seen) == list(range(1, len(seen) + 1))
    assert len({session_id for session_id, _ in seen}) == len(seen)
    last = max(seen, key=lambda pair: pair[1])[0]
    assert crew.together("read", config, name="1") == [last] * crew.size
    with SessionStore.from_url(config=config) as store:
        assert list(store.audit()) == []


def resolve_together(crew: Crew, config: StoreConfig, store: SessionStore) -> set[str]:
    """Let all processes resolve all lanes; the session ids, one a lane, that all of them got."""
    answers = crew.together("resolve", config, names=NAMES, force_new=False)
    for index, name in enumerate(NAMES):
        entry = store.get_session(key_of(name))
        assert entry is not None
        assert {answer[index][0] for answer in answers} == {entry.session_id}
    return {session_id for session_id, _ in answers[0]}


def entry_version(store: SessionStore, name: str) -> int:
    entry = store.get_session(key_of(name))
    return entry.version if entry else 0
