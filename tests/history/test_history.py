"""Eight replicas, killed and paused, on one server and on a Cluster: the history has no fault.

``REDISSTORE_HISTORY_OPERATIONS`` says how many operations are noted, at least.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from redisstore import StoreConfig
from tests.servers import BACKEND_NAMES, Cluster, Server, require

from .checker import violations
from .driver import Faults, play

OPERATIONS = int(os.environ.get("REDISSTORE_HISTORY_OPERATIONS", "60000"))
FAULTS = Faults(kills=12, pauses=6, cuts=12)


@pytest.mark.parametrize("place", [Server, Cluster])
def test_a_recorded_history_has_no_fault(place: type[Server | Cluster], tmp_path: Path) -> None:
    with place(require(BACKEND_NAMES[0])) as server:
        partitions = 12 if isinstance(server, Cluster) else 1
        config = StoreConfig(url=server.url(), namespace="history", partitions=partitions)
        run = play(config, tmp_path, OPERATIONS, FAULTS)
    print(run.figures())
    assert violations(run.history) == []
    assert len(run.calls) >= OPERATIONS
    seen = {(one.kind, one.outcome) for one in run.history.operations}
    # What the run was made for did happen.
    assert {("begin", "done"), ("begin", "unknown"), ("queued", "ok"), ("reset", "ok")} <= seen
    assert {("switch", "ok"), ("begin", "refused"), ("update", "ok"), ("end", "ok")} <= seen
    assert len(run.history.pauses) == FAULTS.pauses
    assert len(run.history.killed) == FAULTS.kills
