"""What a worker process runs: it does jobs with a store of its own until its pipe is closed.

Before each job it reports that its store is open, and waits for the word to go, so that all
workers of a crew begin at the same moment.
"""

from __future__ import annotations

import traceback
from multiprocessing.connection import Connection
from typing import Any

from redisstore import SessionStore, StoreConfig

from .jobs import JOBS

READY, GO, DONE, FAILED = "ready", "go", "done", "failed"


def serve(pipe: Connection[Any, Any]) -> None:
    """Do the jobs that come in by the pipe; one that raises is answered with its traceback."""
    while True:
        try:
            name, settings, arguments = pipe.recv()
        except EOFError:
            return
        try:
            with SessionStore.from_url(config=StoreConfig(**settings)) as store:
                store.count_sessions()
                pipe.send((READY, None))
                pipe.recv()
                answer = (DONE, JOBS[name](store, **arguments))
        except Exception:  # noqa: BLE001 - the parent raises it
            answer = (FAILED, traceback.format_exc())
        pipe.send(answer)
