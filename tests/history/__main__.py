"""A run by hand: ``python -m tests.history --operations 200000 --cluster``."""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from redisstore import StoreConfig
from tests.servers import BACKEND_NAMES, Cluster, Server

from .checker import violations
from .driver import play


def main() -> None:
    """Play, check, and say what was seen."""
    parser = argparse.ArgumentParser("python -m tests.history", description=__doc__)
    parser.add_argument("--operations", type=int, default=200_000)
    parser.add_argument("--backend", choices=BACKEND_NAMES, default=BACKEND_NAMES[0])
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--pauses", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        (Cluster if wanted.cluster else Server)(wanted.backend) as server,
    ):
        config = StoreConfig(
            url=server.url(), namespace="history", partitions=12 if wanted.cluster else 1
        )
        run = play(
            config, Path(directory), wanted.operations, wanted.kills, wanted.pauses, wanted.seed
        )
    operations = run.history.operations
    print(
        f"{len(operations)} operations, {run.kills} kills, {run.pauses} pauses, {run.seconds:.0f} s"
    )
    print(Counter(f"{one.kind} {one.outcome}" for one in operations))
    found = violations(run.history)
    print(f"{len(found)} violations", *found[:20], sep="\n")


if __name__ == "__main__":
    main()
