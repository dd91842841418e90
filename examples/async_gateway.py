"""Many messages at once, by asyncio, each twice; and a long job that keeps its session alive.

It plays through by itself::

    python examples/async_gateway.py
    python examples/async_gateway.py --url redis://localhost:6379/0
"""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime, timedelta

from redisstore import (
    AsyncSessionStore,
    DuplicateMessage,
    SessionKey,
    SessionSource,
    StoreConfig,
    build_session_key,
)

MESSAGES = 20


async def handle(store: AsyncSessionStore, source: SessionSource, number: int) -> str:
    """Answer one message, unless it was answered, or somebody is at it."""
    try:
        # The messages of a person are handled one after the other; those of others go on.
        async with store.turn(source, message_id=f"update-{number}") as turn:
            await asyncio.sleep(0.01)  # the model thinks
            await turn.end(input_tokens=5, output_tokens=1)
    except DuplicateMessage:
        return "refused"
    return "answered"


async def long_job(store: AsyncSessionStore, session_key: SessionKey) -> None:
    """Work for a session in the background, as a cron run or a detached agent does."""
    # Renewed in the background for as long as the block runs, however long that is. Should this
    # process die, the hold lapses by itself after config.process_hold_ttl seconds.
    async with store.hold_process(session_key, process_id="nightly-report"):
        # The session is not removed now, not even by a prune of everything.
        everything = datetime.now(UTC) + timedelta(hours=1)
        report = await store.prune_old_entries(before=everything, dry_run=True)
        print(f"a prune of everything would keep {report.kept['active']} session that is held")
        await asyncio.sleep(0.1)  # the job does its work


async def main() -> None:
    """Let one person write many messages at once, then run the job."""
    options = argparse.ArgumentParser(description="An asyncio gateway.")
    options.add_argument("--url", default="embedded:")
    given = options.parse_args()

    config = StoreConfig(url=given.url, namespace="example", replica="async-example")
    async with AsyncSessionStore.from_url(config=config) as store:
        ada = SessionSource(platform="telegram", chat_id="42", user_id="7", user_name="Ada")
        twice = [number for number in range(MESSAGES) for _ in range(2)]
        outcomes = await asyncio.gather(*(handle(store, ada, number) for number in twice))
        print(
            f"{MESSAGES} messages came twice, all at once: {outcomes.count('answered')} were "
            f"answered, {outcomes.count('refused')} refused"
        )

        key = build_session_key(ada)
        await long_job(store, key)

        entry = await store.get_session(key)
        if entry is not None:
            print(f"{entry.session_key} has counted {entry.output_tokens} answers")
        await store.delete_session(key)


if __name__ == "__main__":
    asyncio.run(main())
