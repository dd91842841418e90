"""The gateway's own store and the plugin's give the same answers to the same random calls."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.servers import Server, require

from .installations import Installation

COUNT = os.environ.get("REDISSTORE_HERMES_SEQUENCES", "80")
"""How many sequences; `python tests/hermes/differential` runs them by hand."""


def test_both_stores_answer_random_calls_alike(installed: Installation, tmp_path: Path) -> None:
    require("valkey-9.1")
    with Server("valkey-9.1") as redis:
        run = subprocess.run(
            [
                str(installed.programs / "python"),
                str(Path(__file__).parent / "differential"),
                redis.url(),
                f"--count={COUNT}",
            ],
            env={"TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
