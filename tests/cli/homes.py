"""Homes of gateways that are not there, and what the doctor finds in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from redisstore.doctor import Finding
from redisstore.hermes.examination import examine_gateway
from tests.servers import Server

ENABLED = {"plugins": {"enabled": ["other", "redisstore"]}}


def install(site: Path, version: str) -> None:
    shutil.rmtree(site, ignore_errors=True)
    package = site / f"hermes_agent-{version}.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: hermes-agent\nVersion: {version}\n"
    )


def configure(home: Path, **config: Any) -> None:
    (home / "config.yaml").write_text(json.dumps(config), "utf-8")


def label(server: Server) -> str:
    return server.url().partition("?")[0]


def found(home: Path, check: str) -> list[Finding]:
    return [one for one in examine_gateway(home) if one.check == check]


def only(home: Path, check: str) -> Finding:
    (finding,) = found(home, check)
    return finding


def faults(home: Path) -> list[str]:
    return [one.message for one in examine_gateway(home) if one.severity == "fault"]
