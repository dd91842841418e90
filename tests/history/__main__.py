"""A run by hand: ``python -m tests.history --operations 200000 --cluster``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from redisstore import StoreConfig
from tests.servers import BACKEND_NAMES, Cluster, Server

from .checker import violations
from .driver import play


class Progress:
    """Says in one line how much was noted so far."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, tuple[int, int]] = {}
        self._started = time.monotonic()

    def __call__(self) -> None:
        """Say it."""
        for path in self._directory.glob("*.jsonl"):
            offset, lines = self._read.get(path, (0, 0))
            with path.open("rb") as notes:
                notes.seek(offset)
                new = notes.read()
            self._read[path] = offset + len(new), lines + new.count(b"\n")
        noted = sum(lines for _, lines in self._read.values()) // 2
        seconds = time.monotonic() - self._started
        print(f"\r{noted} noted, {seconds:.0f} s ", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Play, check, and say what was seen."""
    parser = argparse.ArgumentParser("python -m tests.history", description=__doc__)
    parser.add_argument("--operations", type=int, default=200_000)
    parser.add_argument("--backend", choices=BACKEND_NAMES, default=BACKEND_NAMES[0])
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--pauses", type=int, default=12)
    parser.add_argument("--cuts", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        (Cluster if wanted.cluster else Server)(wanted.backend) as server,
    ):
        partitions = 12 if wanted.cluster else 1
        config = StoreConfig(url=server.url(), namespace="history", partitions=partitions)
        place = Path(directory)
        run = play(
            config,
            place,
            wanted.operations,
            Counter(kill=wanted.kills, pause=wanted.pauses, cut=wanted.cuts),
            wanted.seed,
            Progress(place),
        )
    found = violations(run.history)
    counts = Counter(f"{one.kind} {one.outcome}" for one in run.history.operations)
    print(f"\n{run.figures()}", *sorted(counts.items()), f"{len(found)} violations", sep="\n")
    print(*Counter(fault.partition(":")[0] for fault in found).items(), *found[:20], sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
