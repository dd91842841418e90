"""A turn, for asyncio; see ``redisstore/sync/turn.py``."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from redisstore import fork
from redisstore.calls.counters import Counters
from redisstore.calls.turn_state import TurnBase
from redisstore.entry import SessionEntry
from redisstore.errors import RedisStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisstore.aio.turn_register import AsyncTurnRegister
    from redisstore.calls.turns import Request

_log = logging.getLogger(__name__)


class AsyncTurn(TurnBase):
    """One message being handled, for as long as an ``async with`` block runs."""

    def __init__(
        self,
        register: AsyncTurnRegister,
        request: Request,
        ttl: float,
        on_lost: Callable[[AsyncTurn], None] | None,
    ) -> None:
        super().__init__(request, ttl, on_lost)
        self._register = register

    async def __aenter__(self) -> Self:
        """Begin, after waiting for the turns before; one round trip where there is none."""
        await self._register.begin(self._state)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.ended or self._state.generation != fork.generation:
            return
        try:
            if error is None:
                await self.end()
                return
            await self.give_up()
        except RedisStoreError as failure:
            if error is None:
                raise
            _log.warning("%s was not given up and will lapse: %s", self, failure)
        finally:
            self._register.forget(self._state)

    async def update(
        self, last_prompt_tokens: int | None = None, **counters: Unpack[Counters]
    ) -> SessionEntry:
        """Record activity and add to the counters, in mid-turn; what can be given: see ``end``.

        One round trip. Raises ``TurnLost``, or ``StaleWrite`` where the session was reset.

        ``redis-cli HGET '{redisstore}:entry:agent:main:telegram:dm:42' total_tokens``
        """
        return self._state.take_updated(
            await self._register.update(self._own, last_prompt_tokens, counters)
        )

    async def end(
        self, last_prompt_tokens: int | None = None, **counters: Unpack[Counters]
    ) -> SessionEntry:
        """End the turn well, with what it has cost; the ``async with`` block then does nothing.

        The message is remembered as handled, the flags that the turn has seen (of a reset, of an
        interruption) are taken off, and the next in line has the session. ``last_prompt_tokens`` is
        set; ``input_tokens``, ``output_tokens``, ``cache_read_tokens``, ``cache_write_tokens`` and
        ``estimated_cost_usd`` are added, ``total_tokens`` by default as their sum; ``cost_status``
        is set. One round trip.

        Raises:
            TurnLost: the turn had lost its session; nothing was changed, the message is not done.
            StaleWrite: the turn has ended, and its message is done, but the session was reset or
                switched meanwhile, and the counters given were not added to another conversation.

        ``redis-cli HGET '{redisstore}:entry:agent:main:telegram:dm:42' total_tokens``

        """
        ended = await self._register.end(self._own, last_prompt_tokens, counters)
        counted = last_prompt_tokens is not None or bool(counters)
        return self._state.take_ended(ended, counted=counted)

    async def give_up(self) -> None:
        """Give the turn up: its message may be delivered again. One round trip.

        Does nothing where the turn has ended, nor does the ``async with`` block after this. A turn
        that could not be given up, as Redis was away, is renewed no more, and lapses.

        ``redis-cli ZRANGE '{redisstore}:turns' 0 -1 WITHSCORES``
        """
        if not self.ended:
            await self._register.give_up(self._own)
