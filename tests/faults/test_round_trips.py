"""What each operation costs, as the server sees it: its script calls and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from redisstore import SessionStore

from .operations import OPERATIONS, Operation, furnish
from .snapshots import clear

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from redisstore import StoreConfig
    from tests.servers import Server


@pytest.mark.parametrize("partitions", [1, 4])
def test_an_operation_is_one_script_call_a_partition_and_no_other_command(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
    partitions: int,
) -> None:
    config = configured(server.url(), partitions=partitions)
    store = opened(config)
    with SessionStore.from_url(config=config) as other, server.client() as client:
        seen, expected = {}, {}
        for operation in OPERATIONS:
            for _ in ("the first call teaches the server the script", "the second is counted"):
                clear(client, config.namespace)
                furnish(other)
                operation.before(other)
                commands = _commands_of(client, operation, store)
            seen[operation.name] = commands
            expected[operation.name] = ["EVALSHA"] * operation.calls(partitions)
        assert seen == expected
        assert list(other.audit()) == []


def _commands_of(client: Redis, operation: Operation, store: SessionStore) -> list[str]:
    """The commands that reach the server during a call, without those inside of scripts."""
    watching: Any = client  # its monitor is untyped
    with watching.monitor() as monitor:
        operation.answer(store)
        client.echo("that is all")
        commands: list[str] = []
        for command in monitor.listen():
            name = command["command"].split(" ")[0].upper()
            if name == "ECHO":
                return commands
            if command["client_type"] != "lua":
                commands.append(name)
    raise AssertionError("the server stopped talking")
