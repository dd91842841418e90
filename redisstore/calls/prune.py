"""The prune sweep: batches of one script call each, oldest first, partition after partition."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from redisstore.calls.call import (
    Ask,
    Call,
    Context,
    Found,
    Sweep,
    as_labelled,
    as_text,
    checked_number,
    new_token,
)
from redisstore.errors import InvalidInput, short_repr
from redisstore.fields import EPOCH, from_ms, to_ms
from redisstore.keys import Partition, SessionKey

DAY_MS = 86_400_000
KEPT_REASONS = ("suspended", "active", "running", "damaged")
_SLOW_CALL = 0.005
"""Seconds above the fastest call so far from which a batch is halved."""
_SMALLEST_BATCH = 10
_LAST_CUTOFF = datetime(9998, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PruneBatch:
    """What one script call did."""

    cutoff: datetime
    removed: tuple[SessionKey, ...]
    """The session keys that went, or in a dry run, that would go."""
    kept: Mapping[str, int]
    scanned: int
    repaired: int
    more: bool
    skip: int


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What a prune did; ``int(report)`` is the number of sessions removed.

    ``kept`` counts what was old enough and stayed, by reason: ``suspended``, ``active`` (held by
    a live process), ``running`` (in a turn), ``damaged`` (see ``redisstore doctor``). ``repaired``
    counts index members without an entry that were taken out and index times that were put right.
    ``cutoff`` is ``None`` where pruning is switched off.
    """

    cutoff: datetime | None = None
    dry_run: bool = False
    removed: int = 0
    kept: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(KEPT_REASONS, 0))
    scanned: int = 0
    repaired: int = 0

    def __int__(self) -> int:
        return self.removed

    def plus(self, batch: PruneBatch) -> PruneReport:
        """Return the report with one more batch counted."""
        return PruneReport(
            batch.cutoff,
            self.dry_run,
            self.removed + len(batch.removed),
            {reason: self.kept[reason] + batch.kept[reason] for reason in KEPT_REASONS},
            self.scanned + batch.scanned,
            self.repaired + batch.repaired,
        )


def sweep(
    context: Context,
    *,
    max_age_days: float | None,
    before: datetime | None,
    dry_run: bool,
    timer: Callable[[], float] = time.perf_counter,
) -> Sweep[PruneBatch]:
    """Yield one ``PruneBatch`` a call; nothing at all where pruning is switched off.

    Raises:
        InvalidInput: both ages given, ``before`` naive, ``max_age_days`` no number.

    """
    cutoff, max_age_ms = _limits(context, max_age_days, before)
    return _sweep(context, cutoff, max_age_ms, dry_run=dry_run, timer=timer)


def _limits(
    context: Context, max_age_days: float | None, before: datetime | None
) -> tuple[int | str, int]:
    if before is not None:
        if max_age_days is not None:
            raise InvalidInput("before", "goes without max_age_days: give one of them")
        if not isinstance(before, datetime) or before.tzinfo is None:
            raise InvalidInput(
                "before", f"must be a time with its time zone, not {short_repr(before)}"
            )
        if not EPOCH <= before <= _LAST_CUTOFF:
            raise InvalidInput("before", f"must be from 1970 to 9998, not {short_repr(before)}")
        return to_ms(before), 0
    days = context.config.session_store_max_age_days if max_age_days is None else max_age_days
    checked_number("max_age_days", days, lowest=-math.inf, highest=math.inf, unit="days")
    return "", int(min(max(days, 0), 1e6) * DAY_MS)


def _sweep(
    context: Context,
    cutoff: int | str,
    max_age_ms: int,
    *,
    dry_run: bool,
    timer: Callable[[], float],
) -> Sweep[PruneBatch]:
    if cutoff == "" and max_age_ms <= 0:
        return
    size, fastest = context.config.prune_batch_size, float("inf")
    for home in context.space.partitions:
        skip, more = 0, True
        while more:
            started = timer()
            (batch,) = yield Ask([_batch(context, home, cutoff, max_age_ms, size, skip, dry_run)])
            took = timer() - started
            fastest = min(fastest, took)
            size = _next_size(size, context.config.prune_batch_size, took - fastest)
            yield Found(batch)
            # The first call fixes the cutoff: a sweep is judged by one moment.
            cutoff, skip, more = to_ms(batch.cutoff), batch.skip, batch.more


def _next_size(size: int, largest: int, delay: float) -> int:
    if delay > _SLOW_CALL:
        return max(size // 2, min(_SMALLEST_BATCH, largest))
    return min(size + max(size // 4, 1), largest)


def _batch(
    context: Context,
    home: Partition,
    cutoff: int | str,
    max_age_ms: int,
    size: int,
    skip: int,
    dry_run: bool,
) -> Call[PruneBatch]:
    args = (
        cutoff,
        max_age_ms,
        size,
        skip,
        "1" if dry_run else "",
        new_token(),
        context.keep_ms,
    )
    return Call("prune", (home.prefix, home.updated_at), args, _decode_batch)


def _decode_batch(reply: Sequence[bytes]) -> PruneBatch:
    labelled = as_labelled(reply)
    return PruneBatch(
        cutoff=from_ms(int(labelled["cutoff"])),
        removed=tuple(SessionKey(as_text(key)) for key in labelled["removed"]),
        kept={reason: int(labelled[reason]) for reason in KEPT_REASONS},
        scanned=int(labelled["scanned"]),
        repaired=int(labelled["repaired"]),
        more=labelled["more"] == b"1",
        skip=int(labelled["skip"]),
    )
