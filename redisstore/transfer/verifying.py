"""A store beside what it was filled from: which sessions differ, and in which fields."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from os import PathLike
from pathlib import Path
from zoneinfo import ZoneInfo

from redisstore.aio.store import AsyncSessionStore
from redisstore.config import StoreConfig
from redisstore.errors import CorruptEntry, InvalidInput
from redisstore.sync.store import SessionStore
from redisstore.transfer.comparison import Comparison
from redisstore.transfer.material import gather
from redisstore.transfer.report import OnProgress, VerifyReport
from redisstore.transfer.times import checked_zone


def verify_file(
    store: SessionStore,
    path: str | PathLike[str],
    *,
    zone: ZoneInfo | str,
    scope: str | None = None,
    on_progress: OnProgress | None = None,
) -> VerifyReport:
    """Compare a store, field by field, with what an import of the same path would take in.

    Changes nothing, and can be repeated, also beside live traffic: a session whose activity is
    later in the store has moved on, and counts as no fault. Arguments as for ``import_file``.
    Fields that the gateway does not know are compared where the file has them. Messages that the
    file says are handled have to be known here, also to a session that has moved on, unless they
    were done ``config.message_id_ttl`` ago. Lists the store once, as ``export_sessions`` does,
    and asks twice more for each session not met there.

    Raises:
        InvalidInput: the path can't be read, or is none of these; the zone or the scope is unknown.

    """
    local = checked_zone(zone)
    run = Comparison(gather(Path(path), scope), local, on_progress, _known_since(store.config))
    for entry, handled in store.export_sessions(on_damaged=run.meet_damaged):
        run.meet(entry, handled)
    for key in run.not_met():
        try:
            run.settle(key, store.get_session(key), store.handled_messages(key))
        except (CorruptEntry, InvalidInput) as error:
            run.fail(key, error)
    return run.report()


async def verify_file_async(
    store: AsyncSessionStore,
    path: str | PathLike[str],
    *,
    zone: ZoneInfo | str,
    scope: str | None = None,
    on_progress: OnProgress | None = None,
) -> VerifyReport:
    """Do what ``verify_file`` does, for asyncio; the path is read in a thread."""
    local = checked_zone(zone)
    material = await asyncio.to_thread(gather, Path(path), scope)
    run = Comparison(material, local, on_progress, _known_since(store.config))
    async for entry, handled in store.export_sessions(on_damaged=run.meet_damaged):
        run.meet(entry, handled)
    for key in run.not_met():
        try:
            run.settle(key, await store.get_session(key), await store.handled_messages(key))
        except (CorruptEntry, InvalidInput) as error:
            run.fail(key, error)
    return run.report()


def _known_since(config: StoreConfig) -> datetime:
    """Return when a message was done that is just forgotten, by this machine's clock."""
    return datetime.now(UTC) - timedelta(seconds=config.message_id_ttl)
