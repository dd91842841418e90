# Written by `make twins` from redisstore/sync/sessions.py: edit that one.
"""Operations on one session, for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from redisstore.aio.base import StoreBase
from redisstore.calls import amendments, sessions, sharing
from redisstore.calls.amendments import Amendments
from redisstore.calls.call import Conditions, HasLease
from redisstore.calls.counters import Counters
from redisstore.entry import ModelOverride, SessionEntry
from redisstore.keys import SessionId, SessionKey
from redisstore.source import SessionSource


class SessionOperations(StoreBase):
    """What ``AsyncSessionStore`` can do with one session; one round trip each, or as they say."""

    async def get_session(self, session_key: SessionKey) -> SessionEntry | None:
        """Read a session; touches nothing, creates nothing. ``None`` for an unknown key.

        ``redis-cli HGETALL '{redisstore}:entry:agent:main:telegram:dm:42'``
        """
        return await self._run(lambda c: sessions.get(c, session_key))

    async def get_or_create_session(
        self,
        source: SessionSource,
        *,
        force_new: bool = False,
        session_key: SessionKey | None = None,
    ) -> SessionEntry:
        """Return the session of a message, after deciding whether it starts anew.

        In this order: no entry, or ``force_new``: a new session; suspended: a new one, reason
        ``suspended``; held by a live process, or in a turn: as it is; interrupted: the reset
        policy, then, unless its mode is ``none``, a mark older than
        ``config.resume_freshness_window`` gives a new one, reason ``resume_pending_expired``; the
        reset policy (``idle``, ``daily``); else as it is, with its last activity set to now. A
        reset is seen in ``was_auto_reset`` and ``auto_reset_reason``. Concurrent calls from any
        number of replicas agree on one session. ``session_key``: the lane, where it is another
        than ``build_session_key`` makes.

        Raises ``ClockSkew`` if a daily policy applies and this machine's clock is a day off.

        ``redis-cli HGETALL '{redisstore}:entry:agent:main:telegram:dm:42'``
        """
        return await self._run(
            lambda c: sessions.get_or_create(
                c, source, force_new=force_new, session_key=session_key
            )
        )

    async def update_session(
        self,
        session_key: SessionKey,
        last_prompt_tokens: int | None = None,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        total_tokens: int | None = None,
        estimated_cost_usd: Decimal | float | str = 0,
        cost_status: str | None = None,
        if_session_id: SessionId | None = None,
        if_version: int | None = None,
        if_turn: HasLease | None = None,
    ) -> SessionEntry | None:
        """Record activity. ``last_prompt_tokens`` is set; the other numbers are added.

        Increments of several replicas never lose one another. ``total_tokens`` is by default the
        sum of the four before it. ``None`` for an unknown key: nothing is created.

        Raises ``EntryTooLarge`` for a counter that would reach 2^53.

        ``redis-cli HMGET '{redisstore}:entry:agent:main:telegram:dm:42' total_tokens updated_at``
        """
        counters = Counters(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cache_read_tokens,
            cache_write_tokens=cache_write_tokens,
            total_tokens=total_tokens,
            estimated_cost_usd=estimated_cost_usd,
            cost_status=cost_status,
        )
        conditions = Conditions(if_session_id, if_version, if_turn)
        return await self._run(
            lambda c: sessions.update(c, session_key, last_prompt_tokens, counters, conditions)
        )

    async def suspend_session(
        self,
        session_key: SessionKey,
        *,
        if_session_id: SessionId | None = None,
        if_version: int | None = None,
        if_turn: HasLease | None = None,
    ) -> bool:
        """Make the next message start anew, and keep the session from prune until then.

        True if the session exists.

        ``redis-cli HGET '{redisstore}:entry:agent:main:telegram:dm:42' suspended``
        """
        conditions = Conditions(if_session_id, if_version, if_turn)
        return await self._run(lambda c: sessions.suspend(c, session_key, conditions))

    async def mark_resume_pending(
        self,
        session_key: SessionKey,
        reason: str = "restart_timeout",
        *,
        if_session_id: SessionId | None = None,
        if_version: int | None = None,
        if_turn: HasLease | None = None,
    ) -> bool:
        """Mark an interrupted session as one to go on with; its id stays. Not activity.

        False if it is suspended or unknown.

        ``redis-cli HGET '{redisstore}:entry:agent:main:telegram:dm:42' resume_reason``
        """
        conditions = Conditions(if_session_id, if_version, if_turn)
        return await self._run(
            lambda c: sessions.mark_resume_pending(c, session_key, reason, conditions)
        )

    async def clear_resume_pending(
        self,
        session_key: SessionKey,
        *,
        if_session_id: SessionId | None = None,
        if_version: int | None = None,
        if_turn: HasLease | None = None,
    ) -> bool:
        """Take the mark off; true if there was one.

        ``redis-cli HEXISTS '{redisstore}:entry:agent:main:telegram:dm:42' resume_pending``
        """
        conditions = Conditions(if_session_id, if_version, if_turn)
        return await self._run(lambda c: sessions.clear_resume_pending(c, session_key, conditions))

    async def reset_session(
        self,
        session_key: SessionKey,
        display_name: str | None = None,
        *,
        if_session_id: SessionId | None = None,
        if_version: int | None = None,
        if_turn: HasLease | None = None,
    ) -> SessionEntry | None:
        """Start a session anew as its user asked: a new id, ``is_fresh_reset``, nothing carried on.

        Origin, display name (unless given), platform and chat type stay. ``None`` if unknown.

        ``redis-cli HGET '{redisstore}:entry:agent:main:telegram:dm:42' session_id``
        """
        conditions = Conditions(if_session_id, if_version, if_turn)
        return await self._run(lambda c: sessions.reset(c, session_key, display_name, conditions))

    async def switch_session(
        self,
        session_key: SessionKey,
        session_id: SessionId,
        *,
        if_session_id: SessionId | None = None,
        if_version: int | None = None,
        if_turn: HasLease | None = None,
    ) -> SessionEntry | None:
        """Bind the key to a given id, as for going back to an earlier conversation.

        Bound to it already, the entry is returned untouched. ``None`` if the key is unknown. Other
        lanes may be bound to the same id: from then on, their turns and this one's exclude one
        another. With several partitions all of them are asked first, in a few round trips.

        ``redis-cli HGET '{redisstore}:entry:agent:main:telegram:dm:42' session_id``
        """
        conditions = Conditions(if_session_id, if_version, if_turn)
        return await self._complete(
            lambda c: sharing.switch(c, session_key, session_id, conditions)
        )

    async def amend_session(
        self,
        session_key: SessionKey,
        changes: Amendments,
        *,
        if_session_id: SessionId | None = None,
        if_version: int | None = None,
        if_turn: HasLease | None = None,
    ) -> SessionEntry | None:
        """Put right what is stored of a session: the fields given, as they should be.

        Not activity, and no reset. With another ``session_id`` the same conversation goes on under
        that, as after its history was compressed; a turn that runs goes on with it. Counters are
        overwritten: where several may count, ``update_session`` adds. ``None`` for an unknown key.
        With several partitions, or if others share it, another ``session_id`` takes a few round
        trips. Raises ``TurnBusy``, and changes nothing, where a turn runs and the new id is in one
        of another lane.

        ``redis-cli HGETALL '{redisstore}:entry:agent:main:telegram:dm:42'``
        """
        conditions = Conditions(if_session_id, if_version, if_turn)
        return await self._complete(lambda c: amendments.amend(c, session_key, changes, conditions))

    async def set_model_override(
        self,
        session_key: SessionKey,
        override: ModelOverride | Mapping[str, str] | None,
        *,
        if_session_id: SessionId | None = None,
        if_version: int | None = None,
        if_turn: HasLease | None = None,
    ) -> bool:
        """Set the model, provider and base URL of a session, or clear them (``None``).

        False if the key is unknown. A credential in any place is refused.

        ``redis-cli HGET '{redisstore}:entry:agent:main:telegram:dm:42' override_model``
        """
        conditions = Conditions(if_session_id, if_version, if_turn)
        return await self._run(
            lambda c: sessions.set_model_override(c, session_key, override, conditions)
        )

    async def get_model_override(self, session_key: SessionKey) -> ModelOverride | None:
        """Read the model override; ``None`` if there is none or the key is unknown.

        ``redis-cli HGET '{redisstore}:entry:agent:main:telegram:dm:42' override_model``
        """
        entry = await self.get_session(session_key)
        return entry.model_override if entry else None

    async def delete_session(
        self,
        session_key: SessionKey,
        *,
        if_session_id: SessionId | None = None,
        if_version: int | None = None,
        if_turn: HasLease | None = None,
    ) -> bool:
        """Delete a session, damaged or not; true if it existed.

        All that belongs to it goes: its process holds, and the messages that it has handled, so one
        that comes again is handled again. A turn that runs loses it (``TurnLost``), and those who
        wait begin, with a new one.

        ``redis-cli EXISTS '{redisstore}:entry:agent:main:telegram:dm:42'``
        """
        conditions = Conditions(if_session_id, if_version, if_turn)
        return await self._run(lambda c: sessions.delete(c, session_key, conditions))
