"""A tiny gateway: it answers what is typed, and remembers each person over all its replicas.

Run it in two terminals at once, with two names, and talk to both as the same person::

    python examples/gateway.py --replica one
    python examples/gateway.py --replica two --thinking 5

Each line is a message, ``PERSON: TEXT`` or ``PERSON/ID: TEXT``. With an id, a message that comes
twice is answered once, whoever it comes to. They share an embedded server in the current user's
data directory; ``--url redis://localhost:6379/0`` uses a Redis of yours.
"""

from __future__ import annotations

import argparse
import sys
import time

from redisstore import (
    DuplicateMessage,
    SessionResetPolicy,
    SessionSource,
    SessionStore,
    StoreConfig,
    TurnBusy,
)


def answer(
    store: SessionStore, person: str, message_id: str | None, text: str, thinking: float
) -> str:
    """Handle one message: begin a turn, think, end it with what the thinking took."""
    source = SessionSource(platform="terminal", chat_id=person, user_name=person)

    # One round trip: the message is noted, its session found or made, the reset policy applied.
    # From here on the session is this turn's; other messages of the person wait, on any replica.
    with store.turn(source, message_id=message_id) as turn:
        if text == "/new":
            fresh = store.reset_session(turn.session_key, if_turn=turn)
            return f"a new conversation: {fresh.session_id if fresh else 'none'}"

        # Whoever answered before may have died over it. Its message comes again, if the platform
        # delivers what was not acknowledged.
        apology = "(I was interrupted) " if turn.entry.resume_pending else ""

        reply = f"{text.upper()}!"
        time.sleep(thinking)  # a language model would be at work here

        # One more round trip, and the message is done. Had this process been away for so long
        # that another took over, TurnLost would say so, and nothing would be counted.
        ended = turn.end(input_tokens=len(text.split()), output_tokens=len(reply.split()))
    return f"{apology}{reply}  [session {ended.session_id}, {ended.total_tokens} tokens so far]"


def main() -> None:
    """Answer line by line until the input ends."""
    options = argparse.ArgumentParser(description="A tiny gateway.")
    options.add_argument("--url", default="embedded:")
    options.add_argument("--replica", default="one", help="a name that it keeps over a restart")
    options.add_argument("--thinking", type=float, default=0, help="seconds for each answer")
    given = options.parse_args()

    config = StoreConfig(
        url=given.url,
        replica=given.replica,
        default_reset_policy=SessionResetPolicy(mode="idle", idle_minutes=24 * 60),
    )
    # Maintenance is what replicas do for one another: whoever lives looks after the turns that a
    # crash cut off, marks their sessions as interrupted, and prunes what is old.
    with SessionStore.from_url(config=config) as store, store.maintenance():
        print("ready", flush=True)
        for line in sys.stdin:
            name, _, text = line.strip().partition(": ")
            person, _, message_id = name.partition("/")
            if not person or not text:
                continue
            try:
                print(answer(store, person, message_id or None, text, given.thinking), flush=True)
            except DuplicateMessage as known:
                # Acknowledge it to the platform only if it is done; else let it come again.
                print(f"no answer: {known}", flush=True)
            except TurnBusy as busy:
                print(f"no answer yet: {busy}", flush=True)


if __name__ == "__main__":
    main()
