"""Expired sessions: claimed by one replica at a time, and what became of them."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from redisstore.calls.call import (
    Arg,
    Ask,
    Call,
    Context,
    Steps,
    as_text,
    chunks,
    new_token,
)
from redisstore.calls.counters import rule_args
from redisstore.entry import SessionEntry
from redisstore.errors import CorruptEntry
from redisstore.fields import decode_entry, from_ms, pairs_of, to_ms
from redisstore.keys import Partition, SessionKey

Outcome: TypeAlias = Literal["done", "failed", "released"]

LOOK_EVERY = 5.0
"""Seconds after which one looks again, where no deadline has passed."""

_BATCH = 10
_PARTITIONS_A_LOOK = 8
_CLAIMS_A_CALL = 200
_LONGEST_ERROR = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExpiredSession:
    """A session whose reset-policy deadline has passed, for the gateway to close."""

    entry: SessionEntry
    attempt: int
    """Counted from 1: so often it was begun, or was about to be, by whichever replica."""

    @property
    def key(self) -> str:
        """The same for each attempt at this expiry, and for no other: to know a repetition by."""
        return f"{self.entry.session_id}@{to_ms(self.entry.updated_at)}"


class ClaimName(NamedTuple):
    """What names a claim: the session key, and who has it."""

    session_key: SessionKey
    token: str


class Claim:
    """A session that this replica has to itself, while it renews that."""

    def __init__(
        self, name: ClaimName, expired: ExpiredSession, ttl: float, asked_at: float
    ) -> None:
        self.name = name
        self.expired = expired
        self._ttl = ttl
        self._sure_until = asked_at + ttl

    def is_sure(self, now: float) -> bool:
        """Whether no other can have it, at that monotonic time."""
        return now < self._sure_until

    def renewed(self, lapses_at: datetime | None, asked_at: float) -> None:
        """Take in what a renewal found; ``None``: the claim is lost."""
        self._sure_until = 0.0 if lapses_at is None else asked_at + self._ttl

    def not_renewed(self) -> None:
        """Take in that a renewal failed: it is unsure soon."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What was claimed by one call, and whether there may be more."""

    more: bool
    expired: Sequence[tuple[SessionKey, ExpiredSession]]


def claim(context: Context, clock: Callable[[], float] = time.monotonic) -> Steps[list[Claim]]:
    """Claim some expired sessions; none, where there are none to be had."""
    token = f"{context.process}/{secrets.token_hex(8)}"
    homes = list(context.space.partitions)
    # Replicas that look at once begin at different places.
    first = random.randrange(len(homes))
    homes = homes[first:] + homes[:first]
    for some in chunks(homes, _PARTITIONS_A_LOOK):
        left, limit = some, max(1, _BATCH // len(some))
        while left:
            asked_at = clock()
            found: list[Claimed] = yield Ask([claim_call(context, h, token, limit) for h in left])
            ttl = context.config.finalize_claim_ttl
            claims = [
                Claim(ClaimName(key, token), expired, ttl, asked_at)
                for one in found
                for key, expired in one.expired
            ]
            if claims:
                return claims
            left = [home for home, one in zip(left, found, strict=True) if one.more]
    return []


def claim_call(context: Context, home: Partition, token: str, limit: int) -> Call[Claimed]:
    """Claim some expired sessions of one partition."""
    config = context.config
    args = (
        token,
        context.keep_ms,
        limit,
        int(config.finalize_claim_ttl * 1000),
        config.finalize_attempts,
        *rule_args(context),
    )
    return Call(
        "claim_expired", (home.prefix, home.expiry), args, lambda reply: _read_found(home, reply)
    )


def _read_found(home: Partition, reply: Sequence[Any]) -> Claimed:
    more, damaged, given_up, *rows = reply
    for key in damaged:
        _log.warning("%s%s is damaged and was not finalized", home.entries, as_text(key))
    for key in given_up:
        _log.error("%s was not finalized: it is given up", as_text(key))
    expired = []
    for raw_key, flat in zip(rows[::2], rows[1::2], strict=True):
        key = SessionKey(as_text(raw_key))
        try:
            entry = decode_entry(key, home.entry(key), flat)
        except CorruptEntry as error:
            # Its claim lapses, and so do the next ones until it is given up.
            _log.warning("not finalized: %s", error)
        else:
            tries = int(dict(pairs_of(flat))[b"finalize_tries"])
            expired.append((key, ExpiredSession(entry, tries)))
    return Claimed(more == b"1", expired)


def renew(
    context: Context, claims: Sequence[ClaimName]
) -> Steps[Mapping[ClaimName, datetime | None]]:
    """Renew claims, many a call; ``None`` for one that is lost."""
    homes = context.space.by_partition(claims, lambda name: name.session_key)
    replies = yield Ask(
        [
            _renew_call(context, home, some)
            for home, mine in homes.items()
            for some in chunks(mine, _CLAIMS_A_CALL)
        ]
    )
    return {name: lapses for reply in replies for name, lapses in reply.items()}


def _renew_call(
    context: Context, home: Partition, claims: Sequence[ClaimName]
) -> Call[Mapping[ClaimName, datetime | None]]:
    def decode(reply: Sequence[bytes]) -> Mapping[ClaimName, datetime | None]:
        return {
            name: from_ms(int(lapses)) if lapses.isdigit() else None
            for name, lapses in zip(claims, reply, strict=True)
        }

    claim_ms = int(context.config.finalize_claim_ttl * 1000)
    args: tuple[Arg, ...] = (claim_ms, *(part for name in claims for part in name))
    return Call("renew_claims", (home.prefix, home.expiry), args, decode)


def finish(context: Context, claimed: Claim, outcome: Outcome, error: str = "") -> Call[str]:
    """Say what became of a claimed session; the reply says what that comes to."""
    config, (session_key, token) = context.config, claimed.name
    home = context.space.partition_of(session_key)
    args = (
        new_token(),
        context.keep_ms,
        token,
        claimed.expired.entry.session_id,
        outcome,
        error,
        config.finalize_attempts,
        int(config.finalize_claim_ttl * 1000),
    )
    return Call("finish_expired", (home.prefix, home.entry(session_key)), args, bytes.decode)


def described(error: BaseException) -> str:
    """Return what is stored of a failure: its kind and text, of bounded length."""
    text = f"{type(error).__name__}: {error}"
    return text.encode(errors="backslashreplace").decode()[:_LONGEST_ERROR]


def log_outcome(claimed: Claim, answer: str) -> None:
    """Say what is worth to be known of a session that was claimed."""
    if answer == "stale":
        _log.info("%s went on while it was finalized", claimed.name.session_key)
    elif answer == "given_up":
        _log.error("%s was not finalized: it is given up", claimed.name.session_key)
