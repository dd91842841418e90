"""A whole store is removed: what uses it, and the removal of keys that a SCAN found."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from redisstore.calls import replicas, running_turns
from redisstore.calls.call import Arg, Ask, Call, Context, Found, ItemT, Steps, Sweep, one
from redisstore.errors import StoreInUse

_META = b"meta"


def refuse_if_used(context: Context) -> Steps[None]:
    """Raise ``StoreInUse`` where a replica is alive or a turn runs."""
    alive = [each.name for each in (yield from _all(replicas.sweep(context))) if each.alive]
    if alive:
        raise StoreInUse(f"replicas of {context.space.namespace} are alive: {', '.join(alive)}")
    running = [turn for turn in (yield from _all(running_turns.sweep(context))) if not turn.lapsed]
    if running:
        first = f"{running[0].session_key} on {running[0].replica}"
        raise StoreInUse(
            f"turns of {context.space.namespace} run: {len(running):,}, one of them {first}"
        )


def _all(sweep: Sweep[ItemT]) -> Generator[Ask, Any, list[ItemT]]:
    found: list[ItemT] = []
    replies = None
    while True:
        try:
            step = sweep.send(replies)
        except StopIteration:
            return found
        replies = None
        if isinstance(step, Found):
            found.append(step.item)
        else:
            replies = yield step


def removals(context: Context, keys: Iterable[bytes]) -> Sweep[int]:
    """Remove keys that are of this store, but for its layout record; yield how many there were."""
    root = context.space.root
    parts: dict[str, list[Arg]] = {root: []}
    parts.update((home.prefix, []) for home in context.space.partitions)
    for key in keys:
        tag, brace, name = key.partition(b"}:")
        prefix = (tag + brace).decode(errors="replace")
        if prefix in parts and (prefix, name) != (root, _META):
            parts[prefix].append(name)
    calls = [_removal(prefix, *names) for prefix, names in parts.items() if names]
    if calls:
        for removed in (yield Ask(calls)):
            yield Found(removed)


def finish(context: Context) -> Steps[int]:
    """Remove the layout record."""
    return one(_removal(context.space.root, _META))


def _removal(prefix: str, *names: Arg) -> Call[int]:
    return Call("drop_keys", (prefix, prefix + "meta"), names, int)
