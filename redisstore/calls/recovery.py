"""After a crash: mark what a replica, or one that is dead, was busy with."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from redisstore.calls import replicas
from redisstore.calls.call import (
    Ask,
    Call,
    Context,
    Found,
    Sweep,
    as_labelled,
    checked_number,
    new_token,
)

_BATCH = 100
_log = logging.getLogger(__name__)
_MOST_SECONDS = 1e9


def suspend_recently_active(context: Context, max_age_seconds: float) -> Sweep[int]:
    """Yield how many sessions each batch marked."""
    checked_number(
        "max_age_seconds", max_age_seconds, lowest=0, highest=_MOST_SECONDS, unit="seconds"
    )
    if "replica" not in context.config.model_fields_set:
        _log.warning(
            "replica is not set: as %r, this process takes the sessions of every other gateway on "
            "this host for its own",
            context.config.replica,
        )
    return _sweep(context, int(max_age_seconds * 1000))


def _sweep(context: Context, max_age_ms: int) -> Sweep[int]:
    dead = yield from replicas.dead(context)
    since: str | int = ""
    for home in context.space.partitions:
        after: tuple[str | bytes, str | bytes] = ("", "")
        while True:
            args = (context.config.replica, since, max_age_ms, _BATCH, *after)
            call: Call[dict[str, bytes]] = Call(
                "suspend_recently_active",
                (home.prefix, home.updated_at),
                (*args, new_token(), context.keep_ms, *dead),
                _labelled,
            )
            (batch,) = yield Ask([call])
            yield Found(int(batch["marked"]))
            since = int(batch["since"])
            after = (batch["after_score"], batch["after_member"])
            if not batch["after_score"]:
                break


def _labelled(reply: Sequence[bytes]) -> dict[str, bytes]:
    return as_labelled(reply)
