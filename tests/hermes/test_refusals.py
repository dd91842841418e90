"""A gateway whose store can't be used does not start, and says why in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import lease_port, return_port

from .gateway import Gateway
from .installations import Installation
from .pair import Pair


@pytest.fixture
def free_port() -> Iterator[int]:
    port = lease_port()
    yield port
    return_port(port)


def refusal(installed: Installation, home: Path, environment: dict[str, str]) -> str:
    """Start a gateway, and return what it says at its end: one sentence, and no traceback."""
    nowhere = "http://127.0.0.1:9"
    with Gateway(
        installed, home, model=nowhere, phone=nowhere, environment=environment, start=False
    ) as gateway:
        gateway.launch()
        assert gateway.wait_ended() != 0
        log = gateway.log()
    assert "Traceback" not in log
    # Its log and its last words may both have it.
    found = re.findall(r"redisstore: (the gateway can't start: .*)", log)
    assert len(set(found)) == 1, log
    return str(found[0])


def test_without_a_redis_it_does_not_start(
    installed: Installation, tmp_path: Path, free_port: int
) -> None:
    url = f"redis://127.0.0.1:{free_port}/0"
    assert f"127.0.0.1:{free_port}" in refusal(installed, tmp_path, {"REDISSTORE_URL": url})


def test_on_a_store_of_another_layout_it_does_not_start(
    installed: Installation, pair: Pair, tmp_path: Path
) -> None:
    with pair.store() as store:
        assert store.count_sessions() >= 0
    environment = {
        "REDISSTORE_URL": pair.redis.url(),
        "REDISSTORE_NAMESPACE": pair.namespace,
        "REDISSTORE_PARTITIONS": "7",
    }
    assert "partitions" in refusal(installed, tmp_path, environment)
