"""Eight replicas, killed and paused, on one server and on a Cluster: the history has no fault.

``REDISSTORE_HISTORY_OPERATIONS`` says how many operations are noted, at least.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from redisstore import StoreConfig
from tests.servers import BACKEND_NAMES, Cluster, Server, require

from .checker import violations
from .driver import play

# Taken out of the environment: to the replicas it would be a setting that there is none of.
OPERATIONS = int(os.environ.pop("REDISSTORE_HISTORY_OPERATIONS", "80000"))
FAULTS = Counter({"kill": 12, "pause": 6, "cut": 12})


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
    # A quick machine is done before all was done to it.
    assert set(run.faults) == set(FAULTS)
