"""Closing expired sessions for tests: one step at a time, on a clock that the test moves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from redisstore import SessionKey, SessionResetPolicy, SessionStore
from redisstore.calls import expiry
from redisstore.calls.call import one
from redisstore.calls.expiry import Claim, Outcome
from tests.entries import key, source
from tests.turns import ClockedStores

__all__ = [
    "ADA",
    "CLAIM",
    "HOUR",
    "MS",
    "Closer",
    "due",
    "entry_of",
    "expired_just_now",
    "fields",
    "last_event",
]

IDLE = SessionResetPolicy(mode="idle", idle_minutes=60)
HOUR = timedelta(hours=1)
CLAIM = timedelta(seconds=60)
"""The default time to live of a claim."""
MS = timedelta(milliseconds=1)
ADA = key("ada")


class Closer:
    """A replica that closes sessions, one step at a time."""

    def __init__(self, stores: ClockedStores, replica: str = "one", **settings: object) -> None:
        settings.setdefault("default_reset_policy", IDLE)
        self.store: Any = stores.open(replica=replica, **settings)

    def claim(self) -> dict[SessionKey, Claim]:
        claims: list[Claim] = self.store._complete(expiry.claim)
        return {one.name.session_key: one for one in claims}

    def claim_all(self) -> dict[SessionKey, Claim]:
        found: dict[SessionKey, Claim] = {}
        while claims := self.claim():
            found |= claims
        return found

    def finish(self, claim: Claim, outcome: Outcome = "done", error: str = "") -> str:
        answer: str = self.store._complete(lambda c: one(expiry.finish(c, claim, outcome, error)))
        return answer

    def renew(self, claim: Claim) -> bool:
        found = self.store._complete(lambda c: expiry.renew(c, [claim.name]))
        return found[claim.name] is not None


def expired_just_now(stores: ClockedStores) -> Closer:
    """One that finds ada expired just now."""
    closer = Closer(stores)
    closer.store.get_or_create_session(source("ada"))
    stores.clock.advance(HOUR)
    assert closer.claim() == {}
    stores.clock.advance(MS)
    return closer


def fields(stores: ClockedStores, session_key: SessionKey = ADA) -> dict[bytes, bytes]:
    entry: dict[bytes, bytes] = stores.client.hgetall(
        stores.space.partition_of(session_key).entry(session_key)
    )
    return entry


def due(stores: ClockedStores, session_key: SessionKey = ADA) -> int | None:
    score = stores.client.zscore(stores.space.partition_of(session_key).expiry, session_key)
    return None if score is None else int(score)


def last_event(stores: ClockedStores, session_key: SessionKey = ADA) -> dict[bytes, bytes]:
    stream = stores.space.partition_of(session_key).events
    event: dict[bytes, bytes] = stores.client.xrevrange(stream, count=1)[0][1]
    return event


def entry_of(store: SessionStore, session_key: SessionKey = ADA) -> Any:
    return store.get_session(session_key)
