"""Expired sessions, through both faces: claimed by one at a time, closed, and marked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redisstore.calls import expiry
from redisstore.fields import to_ms
from tests.closing import (
    ADA,
    CLAIM,
    HOUR,
    MS,
    Closer,
    due,
    entry_of,
    expired_just_now,
    fields,
    last_event,
)
from tests.conftest import OpenStore, Site
from tests.entries import key, source
from tests.turns import ClockedStores, direct_client


@pytest.fixture
def stores(open_store: OpenStore, site: Site, namespace: str) -> Iterator[ClockedStores]:
    with direct_client(site) as client:
        yield ClockedStores(open_store, site, namespace, client)


@pytest.fixture
def closer(stores: ClockedStores) -> Closer:
    return expired_just_now(stores)


def test_an_expired_session_is_claimed_once_closed_and_marked(
    stores: ClockedStores, closer: Closer
) -> None:
    before = entry_of(closer.store)
    claim = closer.claim()[ADA]
    assert claim.expired.attempt == 1
    assert claim.expired.key == f"{before.session_id}@{to_ms(before.updated_at)}"
    assert claim.expired.entry.session_id == before.session_id
    assert Closer(stores, "other").claim() == {}
    assert closer.finish(claim) == "finalized"
    after = entry_of(closer.store)
    assert after.expiry_finalized
    assert (after.updated_at, after.version) == (before.updated_at, before.version + 2)
    assert not [name for name in fields(stores) if name.startswith(b"finalize")]
    assert due(stores) is None
    assert last_event(stores) == {
        b"event": b"finalized",
        b"session_key": ADA.encode(),
        b"session_id": before.session_id.encode(),
    }
    stores.clock.advance(10 * HOUR)
    assert closer.claim() == {}


def test_many_are_closed_each_once_by_several_replicas(stores: ClockedStores) -> None:
    closers = [Closer(stores, f"replica {number}") for number in range(3)]
    names = [f"lane {number}" for number in range(50)]
    for name in names:
        closers[0].store.get_or_create_session(source(name))
    stores.clock.advance(HOUR + MS)
    found = [claims for closer in closers for claims in (closer.claim(), closer.claim())]
    found.append(closers[0].claim_all())
    closed = [session_key for claims in found for session_key in claims]
    assert sorted(closed) == sorted(key(name) for name in names)


def test_a_claim_that_is_not_renewed_lapses_and_the_next_try_has_the_same_key(
    stores: ClockedStores, closer: Closer
) -> None:
    first, other = closer.claim()[ADA], Closer(stores, "other")
    stores.clock.advance(CLAIM - MS)
    assert closer.renew(first)
    stores.clock.advance(CLAIM - MS)
    assert other.claim() == {}
    stores.clock.advance(MS)
    second = other.claim()[ADA]
    assert second.expired.attempt == 2
    assert second.expired.key == first.expired.key
    assert not closer.renew(first)
    assert closer.finish(first) == "stale"
    assert closer.finish(first, "failed", "late") == "stale"
    assert not entry_of(closer.store).expiry_finalized
    assert other.finish(second) == "finalized"


def test_a_late_finish_counts_while_nobody_else_has_begun(
    stores: ClockedStores, closer: Closer
) -> None:
    claim = closer.claim()[ADA]
    stores.clock.advance(CLAIM)
    assert closer.finish(claim) == "finalized"
    assert Closer(stores, "other").claim() == {}


def test_what_failed_is_tried_again_later_and_at_last_marked_with_the_error(
    stores: ClockedStores, closer: Closer
) -> None:
    keys = set()
    for attempt, comes_to in ((1, "retry"), (2, "retry"), (3, "given_up")):
        claim = closer.claim()[ADA]
        assert claim.expired.attempt == attempt
        keys.add(claim.expired.key)
        assert closer.finish(claim, "failed", f"no {attempt}") == comes_to
        assert fields(stores)[b"finalize_error"] == f"no {attempt}".encode()
        stores.clock.advance(CLAIM - MS)
        assert closer.claim() == {}
        stores.clock.advance(MS)
    assert len(keys) == 1
    assert entry_of(closer.store).expiry_finalized
    assert due(stores) is None
    assert last_event(stores)[b"event"] == b"finalized"
    assert last_event(stores)[b"error"] == b"no 3"


def test_one_whose_replicas_died_each_time_is_given_up(
    stores: ClockedStores, closer: Closer
) -> None:
    for attempt in (1, 2, 3):
        assert closer.claim()[ADA].expired.attempt == attempt
        stores.clock.advance(CLAIM)
    assert closer.claim() == {}
    entry = entry_of(closer.store)
    assert entry.expiry_finalized
    assert fields(stores)[b"finalize_error"] == b"the replica that tried was lost"
    assert last_event(stores)[b"error"] == b"the replica that tried was lost"
    assert due(stores) is None


def test_claims_that_lapsed_are_taken_one_by_one(stores: ClockedStores) -> None:
    """One of them may have killed its replica; it does not drag the others along."""
    closer = Closer(stores)
    home = stores.space.partition_of(ADA)
    lanes = (f"lane {number}" for number in range(10_000))
    names = [name for name in lanes if stores.space.partition_of(key(name)) is home][:5]
    for name in names:
        closer.store.get_or_create_session(source(name))
    stores.clock.advance(HOUR + MS)
    assert set(closer.claim_all()) == {key(name) for name in names}
    stores.clock.advance(CLAIM)
    found = [closer.claim() for _ in names]
    assert [len(claims) for claims in found] == [1] * 5
    assert {key(name) for name in names} == {session_key for one in found for session_key in one}


def test_one_that_was_not_begun_is_given_back_and_costs_no_try(
    stores: ClockedStores, closer: Closer
) -> None:
    before = entry_of(closer.store)
    claim = closer.claim()[ADA]
    assert closer.finish(claim, "released") == "released"
    assert b"finalize_tries" not in fields(stores)
    assert entry_of(closer.store).version == before.version + 2
    assert Closer(stores, "other").claim()[ADA].expired.attempt == 1


def test_giving_back_keeps_the_tries_before(stores: ClockedStores, closer: Closer) -> None:
    closer.finish(closer.claim()[ADA], "failed", "no")
    stores.clock.advance(CLAIM)
    closer.finish(closer.claim()[ADA], "released")
    assert fields(stores)[b"finalize_error"] == b"no"
    assert closer.claim()[ADA].expired.attempt == 2


@pytest.mark.parametrize("how", ["message", "update", "reset", "switch", "delete"])
def test_what_goes_on_meanwhile_is_not_closed(
    stores: ClockedStores, closer: Closer, how: str
) -> None:
    claim = closer.claim()[ADA]
    match how:
        case "message":
            closer.store.get_or_create_session(source("ada"))
        case "update":
            closer.store.update_session(ADA, output_tokens=1)
        case "reset":
            closer.store.reset_session(ADA)
        case "switch":
            closer.store.switch_session(ADA, "another")
        case "delete":
            closer.store.delete_session(ADA)
    now_is, scored = fields(stores), due(stores)
    assert b"finalize_token" not in now_is
    assert not closer.renew(claim)
    assert closer.finish(claim) == "stale"
    assert (fields(stores), due(stores)) == (now_is, scored)
    stores.clock.advance(HOUR + MS)
    if how != "delete":
        again = closer.claim()[ADA]
        assert again.expired.attempt == 1
        assert again.expired.key != claim.expired.key


def test_a_finalized_session_that_goes_on_is_due_anew(
    stores: ClockedStores, closer: Closer
) -> None:
    closer.finish(closer.claim()[ADA])
    closer.store.update_session(ADA, output_tokens=1)
    assert not entry_of(closer.store).expiry_finalized
    stores.clock.advance(HOUR + MS)
    assert closer.claim()[ADA].expired.attempt == 1


def test_a_claim_whose_reply_was_lost_is_answered_again_and_no_other_is_taken(
    stores: ClockedStores, closer: Closer
) -> None:
    home = stores.space.partition_of(ADA)
    lanes = (f"lane {number}" for number in range(10_000))
    other = next(name for name in lanes if stores.space.partition_of(key(name)) is home)
    call = expiry.claim_call(closer.store.layout(), home, "by-hand/0/1", 1)
    first = closer.store._run(lambda _: call).expired
    assert [session_key for session_key, _ in first] == [ADA]
    closer.store.get_or_create_session(source(other))
    stores.clock.advance(HOUR + MS)
    assert closer.store._run(lambda _: call).expired == first
    assert set(closer.claim_all()) == {ADA, key(other)}


def test_a_claim_ends_where_the_session_is_closed_by_hand(
    stores: ClockedStores, closer: Closer
) -> None:
    claim = closer.claim()[ADA]
    closer.store.amend_session(ADA, {"expiry_finalized": True})
    assert due(stores) is None
    assert not [name for name in fields(stores) if name.startswith(b"finalize")]
    assert closer.finish(claim) == "stale"
    assert entry_of(closer.store).expiry_finalized
    closer.store.amend_session(ADA, {"expiry_finalized": False})
    assert closer.claim()[ADA].expired.attempt == 1


def test_a_claim_says_nothing_of_what_goes_on_under_another_id(
    stores: ClockedStores, closer: Closer
) -> None:
    claim = closer.claim()[ADA]
    closer.store.amend_session(ADA, {"session_id": "another"})
    assert closer.finish(claim) == "stale"
    assert not entry_of(closer.store).expiry_finalized
    stores.clock.advance(CLAIM + MS)
    assert closer.claim()[ADA].expired.entry.session_id == "another"
