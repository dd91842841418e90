"""A call that a fault hits once gives the answer, and leaves the store, as if nothing had been."""

from __future__ import annotations

from difflib import ndiff
from typing import TYPE_CHECKING, Any

import pytest

from redisstore import SessionStore, StoreConfig
from tests.servers import BACKEND_NAMES

from .operations import OPERATIONS, Operation, furnish
from .snapshots import clear, comparable, contents

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from tests.servers import FaultyProxy, Server


def _lose_reply(_: Server, proxy: FaultyProxy) -> None:
    proxy.drop_replies()


def _lose_two_replies(_: Server, proxy: FaultyProxy) -> None:
    proxy.drop_replies(2)


def _lose_request(_: Server, proxy: FaultyProxy) -> None:
    proxy.drop_requests()


def _cut(_: Server, proxy: FaultyProxy) -> None:
    proxy.cut()


def _kill_clients(server: Server, _: FaultyProxy) -> None:
    server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _flush_scripts(server: Server, _: FaultyProxy) -> None:
    server.ask("SCRIPT", "FLUSH")


FAULTS = (_lose_reply, _lose_two_replies, _lose_request, _cut, _kill_clients, _flush_scripts)
CASES = [
    *((BACKEND_NAMES[0], fault, 4) for fault in FAULTS),
    *((backend, fault, 1) for backend in BACKEND_NAMES for fault in (_lose_reply, _flush_scripts)),
]
"""Every fault on one backend, where a call may span partitions; those of scripts on all."""


@pytest.mark.parametrize(
    ("server", "fault", "partitions"),
    CASES,
    indirect=["server"],
    ids=lambda part: part.__name__.strip("_") if callable(part) else str(part),
)
def test_a_fault_changes_neither_the_answer_nor_the_store(
    server: Server,
    proxy: FaultyProxy,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
    partitions: int,
    fault: Callable[[Server, FaultyProxy], None],
) -> None:
    config = configured(proxy.url(), partitions=partitions)
    direct = config.model_copy(update={"url": server.url()})
    store = opened(config)
    differing = []
    with SessionStore.from_url(config=direct) as other, server.client() as client:
        for operation in OPERATIONS:
            undisturbed, disturbed = (
                _run(operation, store, other, client, strike)
                for strike in (lambda: None, lambda: fault(server, proxy))
            )
            proxy.pass_through()
            if undisturbed != disturbed:
                difference = ndiff(undisturbed.splitlines(), disturbed.splitlines())
                differing += [operation.name, *(line for line in difference if line[0] in "-+")]
    assert not differing, "\n".join(differing)


def _run(
    operation: Operation,
    store: Any,
    other: SessionStore,
    client: Redis,
    strike: Callable[[], None],
) -> str:
    """Make the call, the fault just before; what came of it."""
    furnish(other)
    operation.before(other)
    store.layout()
    strike()
    answer: object
    try:
        answer = operation.answer(store)
    except Exception as error:  # noqa: BLE001 - an answer as good as any, to be compared
        answer = error
    stored = contents(client, other.config.namespace)
    clear(client, other.config.namespace)
    return comparable(stored, answer)


@pytest.mark.parametrize(
    ("command", "call"),
    [
        ("SCAN", lambda store: list(store.audit())),
        ("INFO", lambda store: list(store.list_servers())),
    ],
    ids=["audit", "list_servers"],
)
def test_a_lost_reply_to_another_command_is_asked_for_again(
    proxy: FaultyProxy,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
    command: str,
    call: Callable[[SessionStore], object],
) -> None:
    store = opened(configured(proxy.url()))
    furnish(store)
    proxy.drop_replies(commands={command})
    lost = proxy.dropped_replies
    assert "StoreUnavailable" not in repr(call(store))
    assert proxy.dropped_replies == lost + 1
