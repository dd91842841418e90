"""Two gateways of each version, kept running from test to test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.servers import Server, require

from .installations import VERSIONS, Installation, installation
from .pair import Pair
from .phone import Chat

_numbers = itertools.count(2000)


@pytest.fixture(scope="session", params=VERSIONS)
def installed(request: pytest.FixtureRequest) -> Installation:
    version: str = request.param
    return installation(version)


@pytest.fixture(scope="session")
def pair(installed: Installation) -> Iterator[Pair]:
    """Two gateways, which a test starts: the one before it may have ended them."""
    require("valkey-9.1")
    with Server("valkey-9.1", appendonly=True) as redis, Pair(installed, redis) as gateways:
        yield gateways


@pytest.fixture
def chat() -> Chat:
    """A person who has not written yet."""
    return Chat(f"+{next(_numbers)}")
