"""A tiny gateway: it answers what is typed, and remembers each person over all its replicas.

Run it in two terminals at once, with two names, and talk to both as the same person::

    python examples/gateway.py --replica one
    python examples/gateway.py --replica two

Each line is a message, ``PERSON: TEXT``. They share an embedded server in the current user's data
directory; ``--url redis://localhost:6379/0`` uses a Redis of yours.
"""

from __future__ import annotations

import argparse
import sys

from redisstore import SessionResetPolicy, SessionSource, SessionStore, StoreConfig


def answer(store: SessionStore, person: str, text: str) -> str:
    """Handle one message: find its session, think, record what the thinking took."""
    source = SessionSource(platform="terminal", chat_id=person, user_name=person)

    # One round trip. Any number of replicas that ask at once for the same person get the same
    # session; the reset policy is applied on the way.
    entry = store.get_or_create_session(source)

    if text == "/new":
        fresh = store.reset_session(entry.session_key)
        return f"a new conversation: {fresh.session_id if fresh else 'none'}"

    reply = f"{text.upper()}!"  # a language model would think for a while here

    # Counters are added up in Redis: what another replica adds meanwhile is not lost.
    # if_session_id: had the person reset the session meanwhile, StaleWrite would say so.
    updated = store.update_session(
        entry.session_key,
        input_tokens=len(text.split()),
        output_tokens=len(reply.split()),
        if_session_id=entry.session_id,
    )
    total = updated.total_tokens if updated else 0
    return f"{reply}  [session {entry.session_id}, {total} tokens so far]"


def main() -> None:
    """Answer line by line until the input ends."""
    options = argparse.ArgumentParser(description="A tiny gateway.")
    options.add_argument("--url", default="embedded:")
    options.add_argument("--replica", default="one", help="a name that it keeps over a restart")
    given = options.parse_args()

    config = StoreConfig(
        url=given.url,
        replica=given.replica,
        default_reset_policy=SessionResetPolicy(mode="idle", idle_minutes=24 * 60),
    )
    with SessionStore.from_url(config=config) as store:
        # After a crash: mark what this replica was busy with, and no other replica's sessions.
        interrupted = store.suspend_recently_active()
        print(f"ready; {interrupted} sessions were interrupted", flush=True)
        for line in sys.stdin:
            person, _, text = line.strip().partition(": ")
            if person and text:
                print(answer(store, person, text), flush=True)


if __name__ == "__main__":
    main()
