"""Events, through both faces: what happened is told, in order, and nobody misses any unawares."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

import pytest

from redisstore import Event, EventGroup, InvalidInput, SessionId, SessionStore
from tests.closing import expired_just_now
from tests.conftest import OpenStore, Site
from tests.entries import DAY, NOW, aged, key, put, source
from tests.servers import wait_until
from tests.turns import ClockedStores, begun, direct_client

ADA = key("ada")
KEPT = 100
"""The fewest events that a stream can be told to keep."""
FLOOD = 4 * KEPT


def told(store: SessionStore, **how: object) -> list[Event]:
    """All events that there are for a reader, by default from the oldest on."""
    return list(store.events(**{"since": "oldest", "idle_timeout": 0, **how}))  # type: ignore[arg-type]


def conversations(store: SessionStore, number: int, name: str = "ada") -> list[SessionId]:
    """Begin so many, one after the other, on one lane: each is one event."""
    made = [store.get_or_create_session(source(name), force_new=True) for _ in range(number)]
    return [entry.session_id for entry in made]


def ids(events: list[Event]) -> list[str | None]:
    return [event.session_id for event in events]


def group_of(store: SessionStore) -> EventGroup:
    """How far the group is with Ada's partition."""
    context = store.layout()
    assert context is not None
    index = context.space.partition_of(ADA).index
    (group,) = [group for group in store.list_event_groups() if group.partition == index]
    return group


def test_each_operation_tells_what_it_did(store: SessionStore) -> None:
    first = store.get_or_create_session(source("ada"))
    second = store.get_or_create_session(source("ada"), force_new=True)
    store.get_or_create_session(source("ada"))
    store.update_session(ADA, 5, output_tokens=1)
    store.mark_resume_pending(ADA, "why")
    store.clear_resume_pending(ADA)
    store.suspend_session(ADA)
    third = store.get_or_create_session(source("ada"))
    fourth = store.reset_session(ADA)
    assert fourth is not None
    store.switch_session(ADA, SessionId("fifth"))
    store.amend_session(ADA, {"display_name": "Ada", "resume_pending": True})
    store.amend_session(ADA, {"session_id": SessionId("sixth")})
    store.delete_session(ADA)
    events = told(store)
    assert [
        (event.kind, event.session_id, event.old_session_id, event.reason) for event in events
    ] == [
        ("created", first.session_id, None, None),
        ("reset", second.session_id, first.session_id, "forced"),
        ("resume_pending", second.session_id, None, "why"),
        ("suspended", second.session_id, None, "asked"),
        ("reset", third.session_id, second.session_id, "suspended"),
        ("reset", fourth.session_id, third.session_id, "fresh"),
        ("switched", "fifth", fourth.session_id, None),
        ("switched", "sixth", "fifth", "continued"),
        ("deleted", "sixth", None, None),
    ]
    assert {event.session_key for event in events} == {ADA}
    assert events[0].replica == "tester"
    assert all(abs(event.at - NOW) < timedelta(hours=1) for event in events)


def test_a_prune_tells_of_many_at_once(store: SessionStore) -> None:
    put(store, [aged(f"old {n}", 100 * DAY) for n in range(30)])
    store.prune_old_entries(before=NOW - DAY)
    pruned = told(store)
    assert {event.kind for event in pruned} == {"pruned"}
    keys = [one for event in pruned for one in event.session_keys]
    assert sorted(keys) == sorted(key(f"old {n}") for n in range(30))
    assert all((event.session_key is None) == (len(event.session_keys) > 1) for event in pruned)


@pytest.fixture
def clocked(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


def test_a_lost_turn_tells_whose_it_was_and_which_message(clocked: ClockedStores) -> None:
    store = clocked.open()
    turn = begun(store, message_id="m-1")
    clocked.lapse()
    store.recover_turns()
    (lost,) = [event for event in told(store) if event.kind == "turn_lost"]
    assert (lost.session_key, lost.session_id) == (ADA, turn.entry.session_id)
    assert (lost.replica, lost.message_id, lost.fence) == ("tester", "m-1", turn.fence)


def test_a_session_that_was_closed_is_told(clocked: ClockedStores) -> None:
    closer = expired_just_now(clocked)
    closer.finish(closer.claim()[ADA])
    assert [event.kind for event in told(closer.store)] == ["created", "finalized"]


def test_the_events_of_a_session_come_in_order(store: SessionStore) -> None:
    names = [f"lane {number}" for number in range(20)]
    made = {name: conversations(store, 5, name) for name in names}
    for reading in (told(store), told(store, group="agents")):
        for name in names:
            mine = [event for event in reading if event.session_key == key(name)]
            assert ids(mine) == made[name]
            assert [event.id for event in mine] == sorted(event.id for event in mine)
        assert len({event.id for event in reading}) == len(reading) == 100


def test_from_now_on_the_past_is_not_told(store: SessionStore) -> None:
    conversations(store, 3)
    assert told(store, since="now") == []
    assert told(store, since="now", group="agents") == []
    later = conversations(store, 2)
    assert ids(told(store, since="now", group="agents")) == later


def test_who_looks_before_there_is_a_store_leaves_no_trace_and_misses_nothing(
    store: SessionStore,
) -> None:
    assert told(store) == told(store, group="agents") == []
    assert store.layout() is None
    assert store.list_event_groups() == []


def test_a_reader_goes_on_where_it_was(store: SessionStore) -> None:
    made = conversations(store, 3) + conversations(store, 2, "bob")
    events = told(store)
    assert sorted(map(str, ids(events))) == sorted(made)
    assert told(store, since=[event.id for event in events]) == []
    handled = [event.id for event in events[:2]]
    again = told(store, since=handled)
    assert [event for event in events if event.id not in handled] == again
    assert told(store, since=[]) == events


def test_each_event_goes_to_one_of_a_group(store: SessionStore) -> None:
    lanes = [f"lane {number}" for number in range(30)]
    for name in lanes:
        store.get_or_create_session(source(name))
    one = store.events(group="agents", consumer="one", since="oldest", idle_timeout=0)
    other = store.events(group="agents", consumer="other", since="oldest", idle_timeout=0)
    first, second = list(islice(one, 1)), list(islice(other, 1))
    rest = [*told(store, group="agents", consumer="one"), *other]
    del one
    # What the first was given and did not come back for is its own still, and is told again.
    assert first[0] in rest
    assert {event.session_key for event in [*rest, *second]} == set(map(key, lanes))
    assert len([*rest, *second]) == len(lanes)
    assert told(store, group="another") == told(store)


def test_what_was_handled_is_not_told_again_and_what_was_not_is(store: SessionStore) -> None:
    made = conversations(store, 5)
    reader = store.events(group="agents", since="oldest")
    assert [next(reader).session_id for _ in range(3)] == made[:3]
    del reader  # while the third is in hand
    assert ids(told(store, group="agents")) == made[2:]
    assert told(store, group="agents") == []
    group = group_of(store)
    assert (group.name, group.pending, group.behind, group.lost) == ("agents", 0, 0, False)


def test_what_a_dead_consumer_left_goes_to_another(store: SessionStore) -> None:
    made = conversations(store, 3)
    dead = store.events(group="agents", consumer="dead", since="oldest")
    assert next(dead).session_id == made[0]
    assert told(store, group="agents", consumer="heir") == []
    group = group_of(store)
    assert (group.pending, group.pending_with) == (3, "dead")
    heir = store.events(group="agents", consumer="heir", claim_after=0.1, idle_timeout=60)
    assert [next(heir).session_id for _ in range(3)] == made
    del heir
    assert ids(told(store, group="agents", consumer="heir")) == made[2:]
    del dead
    assert told(store, group="agents", consumer="dead") == []


def test_who_fell_behind_is_told_of_the_gap(open_store: OpenStore) -> None:
    store = open_store(events_kept=KEPT)
    made = conversations(store, 3)
    (*_, handled) = told(store)
    made += conversations(store, FLOOD)
    for reading in (told(store, since=[handled.id]), told(store, since=[handled.id])):
        gap, *events = reading
        assert ids(events) == made[-len(events) :]
        assert KEPT <= len(events) < FLOOD
        assert (gap.kind, gap.session_keys) == ("gap", ())
        assert gap.lost_from is not None
        assert handled.id < gap.id == gap.lost_from < events[0].id == gap.lost_until
    assert {event.kind for event in told(store)} == {"reset"}


def test_who_keeps_up_is_told_of_no_gap(open_store: OpenStore) -> None:
    store = open_store(events_kept=KEPT)
    made = conversations(store, 1)
    handled = [event.id for event in told(store)]
    assert ids(told(store, group="agents")) == made
    for _ in range(FLOOD // 50):
        made = conversations(store, 50)
        events = told(store, since=handled)
        handled.append(events[-1].id)
        assert ids(events) == ids(told(store, group="agents")) == made


def test_a_group_that_fell_behind_is_told_of_the_gap_once(open_store: OpenStore) -> None:
    store = open_store(events_kept=KEPT)
    made = conversations(store, 1)
    assert ids(told(store, group="agents")) == made
    made = conversations(store, FLOOD)
    group = group_of(store)
    assert (group.lost, group.kept) == (True, KEPT)
    # One that dies with the gap in hand leaves it to the next.
    assert next(store.events(group="agents", consumer="dead")).kind == "gap"
    gap, *events = told(store, group="agents")
    assert gap.kind == "gap"
    assert gap.lost_until == events[0].id
    assert ids(events) == made[-len(events) :]
    assert told(store, group="agents") == []


@pytest.mark.parametrize("heir", ["dead", "heir"])
def test_what_was_trimmed_away_before_it_was_acknowledged_is_told_as_a_gap(
    open_store: OpenStore, heir: str
) -> None:
    store = open_store(events_kept=KEPT)
    conversations(store, 2)
    in_hand = next(store.events(group="agents", consumer="dead", since="oldest"))
    made = conversations(store, FLOOD)
    wait_until(lambda: group_of(store).pending_for > timedelta(seconds=0.1))
    reader = store.events(group="agents", consumer=heir, claim_after=0.1, idle_timeout=60)
    first, second, rest, event = (next(reader) for _ in range(4))
    assert [first.kind, second.kind, rest.kind, event.kind] == ["gap", "gap", "gap", "reset"]
    assert first.id == first.lost_from == in_hand.id
    assert first.lost_until is not None
    assert first.id < first.lost_until <= second.id
    assert second.lost_until is not None
    assert rest.lost_from is not None
    assert second.lost_until <= rest.lost_from < event.id == rest.lost_until
    assert event.session_id in made
    del reader


def test_a_stream_that_was_deleted_is_a_gap(store: SessionStore, site: Site) -> None:
    conversations(store, 2)
    (*_, handled) = told(store)
    context = store.layout()
    assert context is not None
    with direct_client(site) as client:
        client.delete(context.space.partition_of(ADA).events)
    later = conversations(store, 2)
    gap, *events = told(store, since=[handled.id])
    assert (gap.kind, gap.lost_until) == ("gap", events[0].id)
    assert ids(events) == later


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"since": "yesterday"}, "since"),
        ({"since": ["1-2"]}, "since"),
        ({"since": 5}, "since"),
        ({"idle_timeout": -1}, "idle_timeout"),
        ({"group": ""}, "group"),
        ({"group": "g", "consumer": "\ud800"}, "consumer"),
        ({"group": "g", "claim_after": 0}, "claim_after"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_sent(
    store: SessionStore, wrong: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        told(store, **wrong)
    assert refused.value.field == named


def test_an_event_of_another_store_is_no_place_to_begin(store: SessionStore) -> None:
    store.get_or_create_session(source("ada"))
    with pytest.raises(InvalidInput, match="no partition 200"):
        told(store, since=["200-1763810553123-0000000000"])
