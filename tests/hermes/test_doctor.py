"""The doctor in a gateway's own environment, beside gateways that run and that don't."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.servers import wait_until

from .gateway import Gateway
from .installations import Installation
from .model import Model
from .pair import Pair
from .phone import Phone

_EXAMINE = """
import dataclasses, json, sys
from redisstore.hermes.examination import examine_gateway
print(json.dumps([dataclasses.asdict(one) for one in examine_gateway(sys.argv[1])]))
"""


def examined(
    installed: Installation, home: Path, environment: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """What is found in a home, by check; the worst of each."""
    (home / ".env").write_text("".join(f"{k}={v}\n" for k, v in environment.items()), "utf-8")
    run = subprocess.run(
        [str(installed.programs / "python"), "-c", _EXAMINE, str(home)],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC"},
    )
    worst: dict[str, dict[str, Any]] = {}
    ranks = ("ok", "warning", "fault")
    for one in json.loads(run.stdout):
        before = worst.setdefault(one["check"], one)
        if ranks.index(one["severity"]) > ranks.index(before["severity"]):
            worst[one["check"]] = one
    return worst


def test_two_gateways_that_run_are_found_sound_and_known_by_their_process(
    installed: Installation, pair: Pair
) -> None:
    pair.start_both()
    for gateway in pair.gateways:
        found = examined(installed, gateway.home, gateway._environment)
        severities = {check: one["severity"] for check, one in found.items()}
        # Of two homes, one has the transcripts, and one a link to them.
        transcripts = "warning" if gateway is pair.one else "ok"
        assert severities.pop("transcripts") == transcripts
        assert severities.pop("layout") in {"ok", "warning"}  # until the first message has come
        assert set(severities.values()) == {"ok"}, found
        assert gateway._process is not None
        alive = f"replica {gateway.home.name} is alive: process {gateway._process.pid} on "
        assert found["gateway"]["message"].startswith(alive)


def test_a_gateway_that_runs_without_the_plugin_is_a_fault(
    installed: Installation, pair: Pair, tmp_path: Path
) -> None:
    with (
        Model() as model,
        Phone() as phone,
        Gateway(installed, tmp_path, model=model.url, phone=phone.url, environment={}, plugins=()),
    ):
        wait_until((tmp_path / "gateway.pid").exists, timeout=30, message="its pid")
        settings = {**pair.one._environment, "REDISSTORE_REPLICA": "alone"}
        found = examined(installed, tmp_path, settings)
    assert "not in plugins.enabled" in found["plugin"]["message"]
    assert "but no replica alone is alive" in found["gateway"]["message"]
    assert found["gateway"]["severity"] == "fault"
