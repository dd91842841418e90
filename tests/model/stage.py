"""What the machine's rules share: the stores, their clocks, and how they are held to the model."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count, cycle
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from redisstore import AsyncSessionStore, RedisStoreError, SessionEntry, SessionId, SessionStore
from redisstore.keys import KeySpace
from tests.faces import blocking

from . import scenery
from .clock import ServerClock, SkewedClock, put_on_clocks
from .reference import ReferenceStore
from .scenery import LANES, REPLICAS, UNKNOWN_LANE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from redisstore import SessionKey, StoreConfig
    from redisstore.connect import SyncClient

IDS: Bundle[SessionId] = Bundle("session ids")
CONDITION = st.sampled_from(
    [
        *[("any", "any")] * 6,
        ("same", "any"),
        ("any", "same"),
        ("same", "same"),
        ("other", "any"),
        ("any", "other"),
        ("same", "other"),
    ]
)
"""How a conditional write names session id and version: not, as they are, or as they are not."""

_namespaces = count()
_NEW_ID = re.compile(r"(\d{8}_\d{6})_[0-9a-f]{12}")


@dataclass(frozen=True)
class Stage:
    """Where a machine plays."""

    url: str
    client: SyncClient
    """Reaches the same server, for the clock and to clear away."""
    partitions: int
    loop: asyncio.AbstractEventLoop | None = None
    """Play with asyncio stores, on this loop."""

    def open(self, config: StoreConfig, server: ServerClock, client: SkewedClock) -> SessionStore:
        """Open a store that lives by these clocks."""
        if self.loop is None:
            return put_on_clocks(SessionStore.from_url(config=config), server, client)

        def made() -> AsyncSessionStore:
            return put_on_clocks(AsyncSessionStore.from_url(config=config), server, client)

        return blocking(made, self.loop)


class StagedMachine(RuleBasedStateMachine):
    """Two replicas of one store, a model, and clocks that move."""

    stage: ClassVar[Stage]

    @classmethod
    def on(cls, stage: Stage) -> type[Self]:
        """Return this machine, playing on a stage."""
        return cast("type[Self]", type(cls.__name__, (cls,), {"stage": stage}))

    def __init__(self) -> None:
        super().__init__()
        self.namespace = f"model-{next(_namespaces)}"
        self.stores: list[SessionStore] = []
        self.turns = cycle((*LANES, UNKNOWN_LANE))

    @initialize(start=scenery.STARTS, skews=st.tuples(scenery.SKEWS, scenery.SKEWS))
    def open(self, start: datetime, skews: tuple[timedelta, timedelta]) -> None:
        settings = [
            scenery.config(self.stage.url, self.namespace, self.stage.partitions, replica)
            for replica in REPLICAS
        ]
        space = KeySpace(self.namespace, self.stage.partitions)
        self.clock = ServerClock(self.stage.client, space, start)
        self.latest = start
        self.clients = [SkewedClock(self.clock, skew) for skew in skews]
        self.stores = [
            self.stage.open(one, self.clock, client)
            for one, client in zip(settings, self.clients, strict=True)
        ]
        self.model = ReferenceStore(settings[0], start)

    def teardown(self) -> None:
        try:
            for store in self.stores[:1]:
                assert list(store.audit()) == []
        finally:
            for store in self.stores:
                store.close()
            self._clear()

    def _clear(self) -> None:
        for key in list(self.stage.client.scan_iter("{" + self.namespace + "[.}]*")):
            self.stage.client.delete(key)

    # Time

    @rule(by=scenery.FORWARD)
    def time_passes(self, by: timedelta) -> None:
        self._set_clock(self.model.now + by)

    @rule(data=st.data(), off=st.sampled_from([-1, 0, 1]))
    def an_edge_comes(self, data: st.DataObject, off: int) -> None:
        """Go to the very millisecond at which something ends, or to one beside it."""
        window = timedelta(hours=1)
        holds = [at for held in self.model.holds.values() for at in held.values()]
        ends = [end for end in self.model.last_moments.values() if end is not None]
        marks = [
            entry.last_resume_marked_at + window
            for entry in self.model.entries.values()
            if entry.last_resume_marked_at is not None
        ]
        edges = sorted({at for at in holds + ends + marks if at > self.model.now})
        if edges:
            edge = data.draw(st.sampled_from(edges), label="edge")
            self._set_clock(edge + timedelta(milliseconds=off))

    @rule(by=scenery.BACK)
    def the_server_clock_is_set_back(self, by: timedelta) -> None:
        self._set_clock(max(self.model.now - by, self.latest - scenery.FURTHEST_BACK))
        # Whether a hold that had lapsed is still there is nobody's business until it lives again.
        for lane in LANES:
            known = self.model.live_holds(lane)
            seen = self.stores[0].list_holds(lane)
            lapsed = {pid for pid, at in known.items() if at <= self.latest}
            assert seen.items() <= known.items()
            assert known.keys() - seen.keys() <= lapsed
            for pid in known.keys() - seen.keys():
                del self.model.holds[lane][pid]

    def _set_clock(self, moment: datetime) -> None:
        self.clock.set(moment)
        self.model.now = moment
        self.latest = max(self.latest, moment)

    # After each step

    @invariant()
    def all_that_can_be_seen_agrees(self) -> None:
        store = self.stores[0]
        listed = list(store.list_sessions())
        assert differences(listed, self.model.entries) == {}
        # When what has lapsed leaves the active set, is nobody's business.
        assert replace(store.count(), lapsed=0) == self.model.counts()
        # One by one only in turn: it is most of the time that a run takes.
        lane = next(self.turns)
        assert store.get_session(lane) == self.model.entries.get(lane)
        for held in {lane, *self.model.holds}:
            assert store.list_holds(held) == self.model.live_holds(held)

    # How an operation is held against the model

    def agree(
        self,
        of_store: Callable[[dict[str, Any]], Any],
        of_model: Callable[[SessionId], Any],
        lane: SessionKey,
        condition: tuple[str, str],
    ) -> Any:
        only = self._conditions(lane, condition)
        got = outcome(lambda: of_store(only))
        fresh = got.session_id if isinstance(got, SessionEntry) else SessionId("")

        def expected() -> Any:
            self.model.demand(lane, only.get("if_session_id"), only.get("if_version"))
            return of_model(fresh)

        assert got == outcome(expected)
        return got

    def _conditions(self, lane: SessionKey, condition: tuple[str, str]) -> dict[str, Any]:
        entry = self.model.entries.get(lane)
        session_id = entry.session_id if entry else SessionId("unknown")
        version = entry.version if entry else 1
        choices: dict[str, dict[str, Any]] = {
            "if_session_id": {"same": session_id, "other": session_id + "x"},
            "if_version": {"same": version, "other": version + 1},
        }
        return {
            name: choices[name][how]
            for name, how in zip(choices, condition, strict=True)
            if how != "any"
        }

    def check_new_id(self, replica: int, session_id: SessionId, before: set[SessionId]) -> None:
        if session_id not in before:
            stamp = _NEW_ID.fullmatch(session_id)
            assert stamp is not None
            assert stamp[1] == f"{self.clients[replica].now():%Y%m%d_%H%M%S}"


def outcome(act: Callable[[], Any]) -> Any:
    """Return what an operation answers, or the class of what it raises."""
    try:
        return act()
    except RedisStoreError as error:
        return type(error)


def differences(
    found: list[SessionEntry], expected: Mapping[SessionKey, SessionEntry]
) -> dict[SessionKey, dict[str, tuple[Any, Any]]]:
    """Return what is stored and what should be, by lane and field, where they differ."""
    seen = {entry.session_key: dict(entry) for entry in found}
    known = {key: dict(entry) for key, entry in expected.items()}
    return {
        key: fields
        for key in seen.keys() | known.keys()
        if (fields := _different_fields(seen.get(key, {}), known.get(key, {})))
    }


def _different_fields(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = one.keys() | other.keys()
    pairs = {name: (one.get(name, "absent"), other.get(name, "absent")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
