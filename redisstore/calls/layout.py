"""Opening a store: learn its partition count, and lay it out on the first write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from redisstore.calls.call import Arg, Call, Context, new_incarnation, utc_now
from redisstore.config import StoreConfig
from redisstore.fork import FreshAfterFork
from redisstore.keys import LAYOUT_VERSION, KeySpace

DEFAULT_PARTITIONS = 1
DEFAULT_CLUSTER_PARTITIONS = 64


class Opening(FreshAfterFork):
    """What is known of the layout of a store. What was found once must be found again.

    Until a store was found, ``context`` is a guess, good for checking arguments. A reader of an
    empty Redis leaves no trace, so it asks again with each call; the first write claims.

    A forked child knows what its parent knew, under an incarnation of its own.
    """

    def __init__(
        self, config: StoreConfig, *, clustered: bool, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._config = config
        self._now = now
        self._default = DEFAULT_CLUSTER_PARTITIONS if clustered else DEFAULT_PARTITIONS
        self._partitions = config.partitions or self._default
        self.done = False
        super().__init__()

    def _start_afresh(self) -> None:
        self._incarnation = new_incarnation()
        self.context = self._context()

    def call(self, *, claim: bool) -> Call[int | None]:
        """Ask for the partition count; ``None``: no store here. May raise ``LayoutMismatch``."""
        known = self.context.space.partition_count if self.done else self._config.partitions
        return self._call(self.context.space.meta, known or "", claim=claim)

    def _call(self, meta: str, wanted: Arg, *, claim: bool) -> Call[int | None]:
        def decode(reply: bytes) -> int | None:
            return int(reply) if reply else None

        args = (
            LAYOUT_VERSION,
            wanted,
            self._default,
            "1" if claim else "",
            self._config.events_kept,
        )
        return Call("open_store", (meta,), args, decode)

    def calls_for(self, call: Call[Any]) -> tuple[Call[Any], Call[Any]]:
        """Lay out the store again, and then the partition that ``call`` found without a layout.

        In this order, and both with the partition count that ``call`` was built for: what was laid
        out otherwise meanwhile is refused by the first.
        """
        space = self.context.space
        metas = space.meta, space.by_prefix[call.keys[0]].meta
        store, partition = (self._call(m, space.partition_count, claim=True) for m in metas)
        return store, partition

    def found(self, partitions: int | None) -> None:
        """Take in the answer. Only the first counts: calls are built for what that has said."""
        if partitions is not None and not self.done:
            self._partitions = partitions
            self.context = self._context()
            self.done = True

    def _context(self) -> Context:
        space = KeySpace(self._config.namespace, self._partitions)
        return Context(space, self._config, self._now, self._incarnation)
