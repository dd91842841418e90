"""What a message costs in the store of hermes-agent, its own and that of the plugin, in one run.

``python -m benchmarks.hermes_store``: takes environments that the tests have made, or makes them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

from benchmarks.machine import machine
from tests.hermes.installations import VERSIONS, installation
from tests.servers import BACKEND_NAMES, Server

DRIVER = Path(__file__).with_name("hermes_driver.py")
_WORKS = ("own.turn", "plugin.turn")
_REPETITIONS = 7


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser("python -m benchmarks.hermes_store", description=__doc__)
    parser.add_argument("--version", action="append", help="of the gateway; several times for more")
    parser.add_argument("--backend", choices=BACKEND_NAMES, default=BACKEND_NAMES[0])
    parser.add_argument("--sessions", type=int, action="append")
    wanted = parser.parse_args(arguments)
    print(*(f"{name}: {value}" for name, value in machine().items()), sep="; ")
    print("| hermes-agent | sessions | own store, a message | plugin, a message | ratio |")
    print("|---|---|---|---|---|")
    for version in wanted.version or VERSIONS:
        for sessions in wanted.sessions or (1_000, 100_000):
            found = measured(version, wanted.backend, sessions, _REPETITIONS, _WORKS)
            own, plugin = (found[work] for work in _WORKS)
            ratio = median(own) / median(plugin)
            print(f"| {version} | {sessions:,} | {shown(own)} | {shown(plugin)} | {ratio:.1f} |")


def measured(
    version: str, backend: str, sessions: int, repetitions: int, works: Sequence[str]
) -> dict[str, list[float]]:
    """Return the seconds that each work took, each time."""
    python = installation(version).programs / "python"
    with Server(backend) as server, tempfile.TemporaryDirectory() as home:
        run = subprocess.run(
            [str(python), str(DRIVER), server.url(), str(sessions), str(repetitions), *works],
            env={"HERMES_HOME": home, "HOME": home, "TZ": "UTC", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        raise RuntimeError(run.stderr[-2000:])
    found: dict[str, list[float]] = json.loads(run.stdout.splitlines()[-1])
    return found


def shown(seconds: list[float]) -> str:
    """Return the median in milliseconds, and the middle half of all."""
    low, _, high = quantiles(seconds, n=4)
    return f"{median(seconds) * 1000:.2f} ms ({low * 1000:.2f} to {high * 1000:.2f})"


if __name__ == "__main__":
    main()
