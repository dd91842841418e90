"""One session damaged by hand: what works on several at once does its work on the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from redisstore import (
    SessionKey,
    SessionResetPolicy,
    SessionStore,
    StaleWrite,
    StoreConfig,
    TurnLost,
)
from redisstore.calls import expiry, leases
from redisstore.calls.call import one
from redisstore.calls.replicas import Presence
from tests.conftest import Sites
from tests.entries import DAY, aged, key
from tests.servers import BACKEND_NAMES
from tests.turns import begun, in_line

pytestmark = pytest.mark.damages

PREFIX = "{damaged}:"
NAMES = ("ada", "bob", "cyd")
BOB = key("bob")
OTHERS = {key("ada"), key("cyd")}


@pytest.fixture(params=BACKEND_NAMES)
def raw(request: pytest.FixtureRequest, sites: Sites) -> Iterator[redis.Redis]:
    with sites.server(request.param).client() as client:
        client.flushdb()
        yield client
        client.flushdb()


class Three:
    """Three lanes, each with a turn that runs, one that waits, and a hold."""

    def __init__(self, store: SessionStore, raw: redis.Redis) -> None:
        self.store: Any = store
        self.raw: Any = raw
        self.turns = {}
        for name in NAMES:
            self.turns[key(name)] = begun(store, name, f"m-{name}")
            in_line(store, name, f"w-{name}")
            store.take_hold(key(name), "p")

    def wake(self, session_key: SessionKey) -> str:
        waiter: Any = self.raw.lindex(f"{PREFIX}queue:{session_key}", 0)
        return f"{PREFIX}wake:{waiter.decode().split()[0]}"

    def expire(self) -> None:
        """Let all that keeps a session be over, and its time too."""
        self.raw.delete(PREFIX + "turns", PREFIX + "active")
        for session_key in self.turns:
            entry = f"{PREFIX}entry:{session_key}"
            if self.raw.type(entry) == b"hash":
                self.raw.hset(entry, "updated_at", 1000)
        self.raw.zadd(PREFIX + "updated_at", dict.fromkeys(self.turns, 1000))
        self.raw.zadd(PREFIX + "expiry", dict.fromkeys(self.turns, 61_000))

    def claimed(self) -> list[expiry.Claim]:
        found: list[expiry.Claim] = self.store._complete(expiry.claim)
        return found


@pytest.fixture
def three(raw: redis.Redis) -> Iterator[Three]:
    config = StoreConfig(
        namespace="damaged",
        replica="tester",
        default_reset_policy=SessionResetPolicy(mode="idle", idle_minutes=1),
    )
    with SessionStore(raw, config=config) as store:
        yield Three(store, raw)


def turns_recovered(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    damage()
    three.raw.zadd(PREFIX + "turns", dict.fromkeys(three.turns, 1))
    lost = three.store._complete(leases.recover_all)
    return {turn.session_key for turn in lost}


def waiters_called(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    turns_recovered(three, damage)
    three.raw.zadd(PREFIX + "turns", dict.fromkeys(three.turns, 1))
    three.store.recover_turns()
    return {lane for lane in three.turns if not three.raw.exists(f"{PREFIX}queue:{lane}")}


def turns_renewed(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    damage()
    mine = [turn.lease for turn in three.turns.values()]
    found = three.store._complete(lambda context: leases.renew(context, mine))
    return {lease.session_key for lease, lapses in found.items() if lapses is not None}


def turns_listed(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    damage()
    return {turn.session_key for turn in three.store.list_turns() if turn.fence}


def claims_made(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    three.expire()
    damage()
    return {claim.name.session_key for claim in three.claimed()}


def claims_made_again(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    """The same call once more, as after a reply that was lost."""
    three.expire()
    space = three.store._opening.context.space
    context = three.store._opening.context
    call = expiry.claim_call(context, space.partitions[0], "tester/0/1", 10)
    three.store._complete(lambda _: one(call))
    damage()
    again = three.store._complete(lambda _: one(call))
    return {session_key for session_key, _ in again.expired}


def claims_renewed(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    three.expire()
    names = [claim.name for claim in three.claimed()]
    damage()
    found = three.store._complete(lambda context: expiry.renew(context, names))
    return {name.session_key for name, lapses in found.items() if lapses is not None}


def holds_renewed(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    damage()
    found = three.store.renew_holds([(session_key, "p") for session_key in three.turns])
    return {session_key for (session_key, _), lapses in found.items() if lapses is not None}


def holds_cut(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    """As after a clock that was set back."""
    damage()
    for session_key in OTHERS:
        three.raw.zadd(f"{PREFIX}holds:{session_key}", {"p": 4 * 10**12})
    three.raw.zadd(PREFIX + "active", dict.fromkeys(three.turns, 4 * 10**12))
    three.store.recover_turns()
    scores = three.raw.zrange(PREFIX + "active", 0, -1, withscores=True)
    return {SessionKey(member.decode()) for member, score in scores if score < 3 * 10**12}


def sessions_listed(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    damage()
    return {entry.session_key for entry in three.store.list_sessions()}


def sessions_pruned(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    three.expire()
    damage()
    three.store.prune_old_entries(max_age_days=1)
    return {lane for lane in three.turns if not three.raw.exists(f"{PREFIX}entry:{lane}")}


def sessions_marked(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    three.raw.delete(PREFIX + "turns")
    damage()
    three.store.suspend_recently_active()
    found = three.store.list_sessions(only="resume_pending")
    return {entry.session_key for entry in found}


def sessions_imported(three: Three, damage: Callable[[], object]) -> set[SessionKey]:
    damage()
    found = three.store.import_sessions([aged(name, -DAY) for name in NAMES])
    return {entry.session_key for entry, verdict in found if verdict == "updated"}


OPERATIONS = (
    turns_recovered,
    waiters_called,
    turns_renewed,
    turns_listed,
    claims_made,
    claims_made_again,
    claims_renewed,
    holds_renewed,
    holds_cut,
    sessions_listed,
    sessions_pruned,
    sessions_marked,
    sessions_imported,
)
DAMAGES: dict[str, tuple[str, Callable[[redis.Redis, str], object]]] = {
    **{
        f"{kind} of a wrong type": (kind, lambda raw, name: raw.set(name, "text"))
        for kind in ("entry", "turn", "queue", "wake", "holds", "seen")
    },
    "entry without fields": ("entry", lambda raw, name: raw.hset(name, "to come", "1")),
    "turn without a name": ("turn", lambda raw, name: raw.hset(name, "token", "")),
    "waiter without a name": ("queue", lambda raw, name: raw.rpush(name, "", " w-1", "/ w-2")),
    "wake-up of no time": ("wake", lambda raw, name: raw.rpush(name, "text")),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_others_are_done(
    three: Three,
    operation: Callable[[Three, Callable[[], object]], set[SessionKey]],
    damage: str,
) -> None:
    kind, inflict = DAMAGES[damage]
    name = three.wake(BOB) if kind == "wake" else f"{PREFIX}{kind}:{BOB}"

    def to_one() -> None:
        three.raw.delete(name)
        inflict(three.raw, name)

    assert operation(three, to_one) >= OTHERS


@pytest.mark.parametrize("score", [float("inf"), float("-inf"), 2.0**60, 1.5])
def test_a_score_beyond_all_times_hides_nothing(three: Three, score: float) -> None:
    for index, member in (("turns", BOB), ("active", BOB), ("updated_at", BOB), ("replicas", "x")):
        three.raw.zadd(PREFIX + index, {member: score})
    three.raw.zadd(f"{PREFIX}holds:{BOB}", {"p": score})
    store = three.store
    assert {turn.session_key for turn in store.list_turns()} == {BOB, *OTHERS}
    assert {entry.session_key for entry in store.list_sessions()} == {BOB, *OTHERS}
    assert [replica.name for replica in store.list_replicas()] == ["x"]
    assert set(store.list_holds(BOB)) == ({"p"} if score > 2 else set())
    assert store.count().sessions == 3


def test_a_replica_that_is_damaged_hides_no_other(three: Three) -> None:
    presence = Presence()
    three.store._complete(lambda context: presence.beat(context, (1, 2), "up"))
    three.raw.zadd(PREFIX + "replicas", {"another": 4 * 10**12})
    three.raw.set(PREFIX + "replica:another", "text")
    found = {one.name: one.turns for one in three.store.list_replicas()}
    assert found == {"tester": 1, "another": 0}


@pytest.mark.parametrize("counters", [{}, {"output_tokens": 1}], ids=["no counters", "counters"])
def test_the_turn_of_an_entry_that_is_gone_ends_and_hands_the_lane_over(
    three: Three, counters: dict[str, int]
) -> None:
    turn = three.turns[BOB]
    three.raw.delete(f"{PREFIX}entry:{BOB}")
    with pytest.raises(StaleWrite if counters else TurnLost, match=BOB):
        turn.end(**counters)
    (next_one,) = (one for one in three.store.list_turns() if one.session_key == BOB)
    assert (next_one.message_id, next_one.token) != ("m-bob", turn.token)
