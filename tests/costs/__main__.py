"""Counts on every server, and says what differs from the file, or writes it."""

from __future__ import annotations

import argparse

from tests.costs.counting import FACES, counted
from tests.costs.golden import COMMAND, FILE, differences, recorded, write
from tests.servers import BACKEND_NAMES, Server, available


def main() -> None:
    """Count everything."""
    parser = argparse.ArgumentParser("python -m tests.costs", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}")
    wanted = parser.parse_args()
    missing = set(BACKEND_NAMES) - {backend.name for backend in available()}
    if missing:
        parser.error(f"not installed: {', '.join(sorted(missing))}")
    counts = {}
    for backend in available():
        with Server(backend) as server:
            for face in FACES:
                counts[backend.name, face] = counted(server, face)
                print(f"counted {backend.name}, {face}", flush=True)
    told = []
    for (server_name, face), costs in counts.items() if FILE.exists() else ():
        found = {name: cost.columns() for name, cost in costs.items()}
        told += [
            f"{server_name}, {face}: {line}"
            for line in differences(recorded(server_name, face), found)
        ]
    print(*told, sep="\n")
    if wanted.write:
        write(counts)
    elif told:
        raise SystemExit(f"{COMMAND} takes this in")


if __name__ == "__main__":
    main()
