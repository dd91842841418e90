"""What the operations over many sessions promise: lists, counts, prune, recovery, imports."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

import pytest

from redisstore import (
    EntryTooLarge,
    InvalidInput,
    PruneBatch,
    SessionEntry,
    SessionKey,
    SessionStore,
)
from tests.conftest import OpenStore
from tests.entries import DAY, NOW, aged, key, put, source
from tests.servers import wait_until

CUTOFF = NOW - 90 * DAY
HOUR = timedelta(hours=1)


def names(entries: Iterable[SessionEntry]) -> list[str]:
    return [entry.session_key.rpartition(":")[2] for entry in entries]


def test_a_list_is_newest_first_over_all_partitions(open_store: OpenStore) -> None:
    store = open_store(list_page_size=7)
    put(store, [aged(str(n), n * HOUR) for n in range(100)])
    assert names(store.list_sessions()) == [str(n) for n in range(100)]
    assert names(store.list_sessions(limit=3)) == ["0", "1", "2"]
    assert names(store.list_sessions(limit=0)) == []
    assert names(store.list_sessions(active_minutes=60 * 10 + 30)) == [str(n) for n in range(11)]


def test_a_list_of_equal_times_is_whole(open_store: OpenStore) -> None:
    store = open_store(list_page_size=7)
    put(store, [aged(str(n), HOUR) for n in range(50)])
    assert sorted(names(store.list_sessions()), key=int) == [str(n) for n in range(50)]


def test_a_list_goes_on_where_its_last_session_moved_away(open_store: OpenStore) -> None:
    store = open_store(list_page_size=5)
    put(store, [aged(str(n), n * HOUR) for n in range(1, 30)])
    seen = []
    for entry in store.list_sessions():
        seen.append(entry.session_key.rpartition(":")[2])
        if len(seen) in {5, 10}:
            store.update_session(entry.session_key)
    assert set(seen) == {str(n) for n in range(1, 30)}


def test_lists_of_some_kind(store: SessionStore) -> None:
    put(store, [aged(str(n), n * HOUR) for n in range(20)])
    store.suspend_session(key("3"))
    store.suspend_session(key("12"))
    store.mark_resume_pending(key("7"))
    store.take_hold(key("15"), "cron")
    assert names(store.list_sessions(only="suspended")) == ["3", "12"]
    assert names(store.list_sessions(only="resume_pending")) == ["7"]
    assert names(store.list_sessions(only="active")) == ["15"]
    assert names(store.list_sessions(only="suspended", limit=1)) == ["3"]


def test_an_empty_store_is_empty(store: SessionStore) -> None:
    assert list(store.list_sessions()) == []
    assert (store.count_sessions(), store.has_any_sessions()) == (0, False)
    assert store.count().oldest is None
    assert int(store.prune_old_entries()) == 0
    assert store.suspend_recently_active() == 0
    assert list(store.audit()) == []


def test_counts(store: SessionStore) -> None:
    put(store, [aged("old", 5 * HOUR), aged("new", HOUR)])
    store.take_hold(key("old"), "a")
    store.take_hold(key("old"), "b")
    counts = store.count()
    assert (counts.sessions, counts.active) == (2, 1)
    assert (counts.oldest, counts.newest) == (NOW - 5 * HOUR, NOW - HOUR)
    assert store.count_sessions() == 2
    assert store.has_any_sessions()


def test_prune_removes_what_is_older_than_the_cutoff(store: SessionStore) -> None:
    put(
        store,
        [
            aged("just older", 90 * DAY + timedelta(milliseconds=1)),
            aged("on the cutoff", 90 * DAY),
            aged("younger", 89 * DAY),
            aged("created long ago", DAY, created_at=NOW - 900 * DAY),
        ],
    )
    report = store.prune_old_entries(before=CUTOFF)
    assert (int(report), report.removed, report.cutoff) == (1, 1, CUTOFF)
    assert set(names(store.list_sessions())) == {"on the cutoff", "younger", "created long ago"}


def test_prune_keeps_the_suspended_and_the_held(store: SessionStore) -> None:
    put(store, [aged(str(n), 100 * DAY) for n in range(10)])
    store.suspend_session(key("1"))
    store.take_hold(key("2"), "cron")
    store.take_hold(key("3"), "cron", ttl=0.001)
    wait_until(lambda: not store.list_holds(key("3")), timeout=5, message="the hold lapses")
    report = store.prune_old_entries(before=CUTOFF)
    assert report.removed == 8
    assert report.kept == {"suspended": 1, "active": 1, "running": 0, "damaged": 0}
    assert report.scanned == 10
    assert set(names(store.list_sessions())) == {"1", "2"}


def test_kept_entries_do_not_hide_the_rest(open_store: OpenStore) -> None:
    store = open_store(prune_batch_size=5)
    put(store, [aged(f"kept{n}", 200 * DAY, suspended=True) for n in range(40)])
    put(store, [aged(f"gone{n}", 100 * DAY) for n in range(40)])
    report = store.prune_old_entries(before=CUTOFF)
    assert (report.removed, report.kept["suspended"]) == (40, 40)
    assert report.scanned == 80


def test_a_dry_run_changes_nothing(store: SessionStore) -> None:
    put(store, [aged(str(n), 100 * DAY) for n in range(250)])
    batches: list[PruneBatch] = []
    report = store.prune_old_entries(before=CUTOFF, dry_run=True, on_batch=batches.append)
    assert (report.removed, report.dry_run) == (250, True)
    would_go = {name for batch in batches for name in batch.removed}
    assert would_go == {key(str(n)) for n in range(250)}
    assert store.count_sessions() == 250
    assert store.prune_old_entries(before=CUTOFF).removed == 250
    assert store.count_sessions() == 0


def test_the_age_comes_from_the_call_else_from_the_configuration(open_store: OpenStore) -> None:
    put(open_store(), [aged("a", 100 * DAY), aged("b", 50 * DAY), aged("c", 20 * DAY)])
    assert open_store().prune_old_entries().removed == 1
    assert open_store(session_store_max_age_days=30).prune_old_entries().removed == 1
    assert open_store().prune_old_entries(19.5).removed == 1


@pytest.mark.parametrize("age", [0, -1, -0.5])
def test_an_age_of_zero_or_less_switches_prune_off(store: SessionStore, age: float) -> None:
    put(store, [aged("a", 9000 * DAY)])
    report = store.prune_old_entries(age)
    assert (report.removed, report.cutoff, report.scanned) == (0, None, 0)
    assert store.has_any_sessions()


def test_recovery_marks_only_what_this_replica_handled_last(open_store: OpenStore) -> None:
    left, right = open_store(replica="left"), open_store(replica="right")
    for name in ("a", "b", "suspended", "marked", "taken over"):
        left.get_or_create_session(source(name))
    right.get_or_create_session(source("taken over"))
    right.get_or_create_session(source("right's own"))
    left.suspend_session(key("suspended"))
    left.mark_resume_pending(key("marked"), "shutdown")
    put(left, [aged("long ago", HOUR, replica="left")])
    before = {entry.session_key: entry.updated_at for entry in left.list_sessions()}
    assert left.suspend_recently_active() == 2
    marked = {entry.session_key: entry for entry in left.list_sessions(only="resume_pending")}
    assert set(marked) == {key("a"), key("b"), key("marked")}
    assert marked[key("a")].resume_reason == "restart_interrupted"
    assert marked[key("marked")].resume_reason == "shutdown"
    assert {entry.session_key: entry.updated_at for entry in left.list_sessions()} == before
    assert left.suspend_recently_active() == 0


def test_recovery_reaches_further_than_one_batch(store: SessionStore) -> None:
    put(store, [aged(str(n), timedelta(0), replica="tester") for n in range(230)])
    assert store.suspend_recently_active(max_age_seconds=100_000) == 230


def test_an_import_creates_updates_and_keeps(store: SessionStore) -> None:
    older, newer = aged("a", 2 * HOUR), aged("a", HOUR, display_name="Newer")
    assert verdicts(store, [older]) == ["created"]
    assert verdicts(store, [older]) == ["kept"]
    assert verdicts(store, [newer, aged("b", HOUR)]) == ["updated", "created"]
    assert verdicts(store, [older]) == ["kept"]
    entry = store.get_session(key("a"))
    assert entry is not None
    assert (entry.display_name, entry.updated_at) == ("Newer", NOW - HOUR)
    assert entry.version == 2


def test_an_imported_entry_is_read_back_as_it_was(store: SessionStore) -> None:
    full = aged(
        "a",
        HOUR,
        display_name="A\nda",
        chat_type="group",
        input_tokens=1,
        output_tokens=2,
        cache_read_tokens=3,
        cache_write_tokens=4,
        total_tokens=10,
        last_prompt_tokens=5,
        estimated_cost_usd="0.000000001",
        cost_status="exact",
        was_auto_reset=True,
        auto_reset_reason="daily",
        reset_had_activity=True,
        is_fresh_reset=True,
        expiry_finalized=True,
        suspended=True,
        resume_pending=True,
        resume_reason="restart",
        last_resume_marked_at=NOW,
        model_override={"model": "m", "provider": "p", "base_url": "https://x.example"},
        replica="gone",
    )
    bare = aged("b", HOUR).model_copy(update={"origin": None, "platform": None})
    strange = aged("c", HOUR, platform="telegram", origin=source("c", "slack"))
    unnamed = aged("d", HOUR, origin=None)
    put(store, [full, bare, strange, unnamed])
    for entry in (full, bare, strange, unnamed):
        assert store.get_session(entry.session_key) == entry


def test_rows_that_can_not_be_stored_do_not_stop_the_others(store: SessionStore) -> None:
    rows = [
        aged("good", HOUR),
        aged("from the future", -4000 * DAY),
        aged("huge", HOUR, display_name="x" * 100_000),
        aged("x" * 5000, HOUR),
        aged("also good", HOUR),
    ]
    found = [verdict for _, verdict in store.import_sessions(rows)]
    assert sorted(str(v) for v in found if isinstance(v, str)) == ["created", "created", "future"]
    refused = [verdict for verdict in found if isinstance(verdict, InvalidInput)]
    assert [type(error) for error in refused] == [EntryTooLarge, EntryTooLarge]
    assert {error.field for error in refused} == {"display_name", "session_key"}
    assert set(names(store.list_sessions())) == {"good", "also good"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_tokens", -1),
        ("total_tokens", 2**60),
        ("estimated_cost_usd", Decimal("1e30")),
        ("created_at", NOW - 60 * 365 * DAY),
        ("updated_at", NOW.replace(tzinfo=None)),
        ("display_name", "lone \ud800"),
    ],
)
def test_an_entry_that_can_not_be_stored_is_named_and_the_next_is_taken(
    store: SessionStore, field: str, value: object
) -> None:
    bad = aged("bad", HOUR).model_copy(update={field: value})
    (_, refused), (_, taken) = store.import_sessions([bad, aged("good", HOUR)])
    assert isinstance(refused, InvalidInput)
    assert refused.field == field
    assert taken == "created"


@pytest.mark.parametrize("age", [1e6, float("inf"), 60 * 365])
def test_an_age_beyond_1970_removes_nothing(store: SessionStore, age: float) -> None:
    put(store, [aged("a", 100 * DAY)])
    assert store.prune_old_entries(age).removed == 0
    assert store.count_sessions() == 1


def verdicts(store: SessionStore, entries: list[SessionEntry]) -> list[object]:
    found = {entry.session_key: verdict for entry, verdict in store.import_sessions(entries)}
    return [found[SessionKey(entry.session_key)] for entry in entries]


@pytest.mark.parametrize("limit", [1, 7, 29, 30, 31, 100, None])
def test_pages_that_are_asked_for_together_are_one_list(
    open_store: OpenStore, limit: int | None
) -> None:
    store = open_store(list_page_size=3)
    put(store, [aged(str(n), n * timedelta(minutes=1)) for n in range(60)])
    listed = [entry.session_key for entry in store.list_sessions(limit=limit)]
    assert listed == [key(str(n)) for n in range(60)][:limit]
