"""The store does what the contract says: random operations, held against a reference model."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from redisstore import StoreConfig
from redisstore.connect import connect
from tests.model.face import AsyncFace, Face, SyncFace
from tests.model.machine import Stage, StoreMachine
from tests.servers import BACKEND_NAMES, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_MEMORY = "fakeredis"
LONG = int(os.environ.get("MODEL_TEST_EXAMPLES", "0"))
"""Examples of each machine in a long run, with new random ones each time."""


@pytest.fixture(scope="module", params=[IN_MEMORY, *BACKEND_NAMES])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == IN_MEMORY:
        yield "memory://model"
        return
    with Server(request.param, listen="unix") as server:
        yield server.socket_url()


@pytest.fixture(params=["sync", "asyncio"])
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    if request.param == "sync":
        yield SyncFace()
        return
    face = AsyncFace()
    yield face
    face.close()


@pytest.mark.parametrize("partitions", [1, 3])
def test_the_store_and_the_model_agree(url: str, face: Face, partitions: int) -> None:
    client = connect(StoreConfig(url=url)).client
    stage = Stage(face, url, client, partitions)
    examples = LONG or (100 if url.startswith("memory") else 60)
    run_state_machine_as_test(
        partial(StoreMachine, stage),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            derandomize=not LONG,
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            print_blob=True,
        ),
    )
    client.close()
