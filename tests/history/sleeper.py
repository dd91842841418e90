"""A replica that is stopped in mid-turn: ``python -m tests.history.sleeper URL PARTITIONS TTL``.

It begins a turn, says so, and when it is told to go on tries to write in every way, by the turn and
past all that this process knows of it. It says what became of each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

from redisstore import RedisStoreError, SessionId, SessionStore, StoreConfig
from redisstore.calls import sessions, turns
from redisstore.calls.call import Conditions, Lease
from tests.processes.lanes import key_of, source_of

LANE, MESSAGE = "sleeper", "m-1"
NAMESPACE = "sleepers"


@dataclass(frozen=True)
class Believer:
    """A turn that does not know that it is lost."""

    lease: Lease


def main() -> None:
    """Run with the arguments of this process."""
    url, partitions, ttl = sys.argv[1:]
    config = StoreConfig(
        url=url,
        namespace=NAMESPACE,
        partitions=int(partitions),
        turn_lease_ttl=float(ttl),
        replica="sleeper",
    )
    with SessionStore.from_url(config=config) as store:
        turn = store.turn(source_of(LANE), MESSAGE)
        turn.__enter__()
        lease = turn.lease
        believer = Believer(lease)
        print("begun", flush=True)
        sys.stdin.readline()
        key, only = key_of(LANE), Conditions(if_turn=believer)
        attempts: dict[str, Callable[[], object]] = {
            "update past the turn": lambda: store._run(
                lambda c: sessions.update(c, key, 1, {}, only)
            ),
            "end past the turn": lambda: store._complete(
                lambda c: turns.end(c, believer.lease, 1, {})
            ),
            "model": lambda: store.set_model_override(key, {"model": "m"}, if_turn=believer),
            "reset": lambda: store.reset_session(key, if_turn=believer),
            "switch": lambda: store.switch_session(key, SessionId("other"), if_turn=believer),
            "amend": lambda: store.amend_session(
                key, {"session_id": SessionId("other"), "total_tokens": 9}, if_turn=believer
            ),
            "turn.update": lambda: turn.update(output_tokens=1),
            "turn.end": lambda: turn.end(output_tokens=1),
        }
        print(json.dumps({name: outcome(attempt) for name, attempt in attempts.items()}))


def outcome(attempt: Callable[[], object]) -> str:
    """Try it, and name the error."""
    try:
        attempt()
    except RedisStoreError as error:
        return type(error).__name__
    return "written"


if __name__ == "__main__":
    main()
