"""What a turn costs the server, above all one that waits: no polling, however long it takes."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import pytest

from redisstore import AsyncSessionStore, SessionStore, StoreConfig, TurnBusy
from redisstore.scripts import library
from tests.entries import source
from tests.servers import wait_until

if TYPE_CHECKING:
    from types import TracebackType

    from tests.servers import Server

LEASE = 1.0
"""Seconds; a turn that runs renews its lease every third."""
PAIRS_A_PERIOD = 1.5
"""Who waits looks when the deadline that it knows has passed: that is two thirds of a lease away
if the renewal that comes as it looks is not in yet."""
RENEWALS = 10
"""In more than three lease periods."""
_SCRIPTS = {script.sha: name for name, script in library(shebang=True).items()}


class Seen(NamedTuple):
    """A command, a script by its name, and when the server got it."""

    name: str
    at: float


class Watch:
    """Takes down the commands that reach a server, without those inside of scripts."""

    def __init__(self, server: Server) -> None:
        self.seen: list[Seen] = []
        self._echo = server.client().echo
        watching: Any = server.client()  # its monitor is untyped
        self._monitor = watching.monitor()
        self._thread = threading.Thread(target=self._take_down)
        self._echo("the connection is made")

    def __enter__(self) -> Self:
        self._monitor.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._echo("that is all")
        self._thread.join()
        self._monitor.__exit__(kind, error, trace)

    def _take_down(self) -> None:
        for command in self._monitor.listen():
            words = command["command"].split(" ")
            if words[0] == "ECHO":
                return
            if command["client_type"] != "lua":
                name = _SCRIPTS[words[1]] if words[0] == "EVALSHA" else words[0]
                self.seen.append(Seen(name, command["time"]))

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.seen]

    def until(self, name: str, times: int = 1) -> None:
        """Return when so many of these commands have come in."""
        wait_until(lambda: self.names.count(name) >= times, timeout=60, message=name)


Step: TypeAlias = Callable[[Watch], None]
"""What is done with a watch while one turn waits for another, and after both."""


def by_threads(server: Server, config: StoreConfig, meanwhile: Step, after: Step) -> list[Seen]:
    """Let a turn of one store wait for a turn of another; what reaches the server from then on."""
    with (
        SessionStore.from_url(config=config) as one,
        SessionStore.from_url(config=config) as other,
        ThreadPoolExecutor(1) as pool,
    ):

        def handle(wait: float) -> None:
            with other.turn(source("ada"), wait=wait):
                pass

        with one.turn(source("ada")), suppress(TurnBusy):
            handle(0.01)  # makes the connections
        with Watch(server) as watch:
            with one.turn(source("ada")):
                waiting = pool.submit(handle, 60)
                meanwhile(watch)
            waiting.result(60)
            after(watch)
        return watch.seen


def by_tasks(server: Server, config: StoreConfig, meanwhile: Step, after: Step) -> list[Seen]:
    """Do the same in one event loop."""

    async def main() -> list[Seen]:
        async with (
            AsyncSessionStore.from_url(config=config) as one,
            AsyncSessionStore.from_url(config=config) as other,
        ):

            async def handle(wait: float) -> None:
                async with other.turn(source("ada"), wait=wait):
                    pass

            with suppress(TurnBusy):
                async with one.turn(source("ada")):
                    await handle(0.01)
            with Watch(server) as watch:
                async with one.turn(source("ada")):
                    waiting = asyncio.create_task(handle(60))
                    await asyncio.to_thread(meanwhile, watch)
                await waiting
                await asyncio.to_thread(after, watch)
            return watch.seen

    return asyncio.run(main())


@pytest.fixture(params=[by_threads, by_tasks])
def contend(request: pytest.FixtureRequest, server: Server) -> Callable[..., list[Seen]]:
    with server.client() as client:
        for script in library(shebang=True).values():
            client.script_load(script.text)
    scenario: Callable[..., list[Seen]] = request.param
    return scenario


@pytest.mark.parametrize("partitions", [1, 4])
def test_an_uncontended_turn_is_one_call_to_begin_and_one_to_end(
    server: Server,
    opened: Callable[[StoreConfig], SessionStore],
    configured: Callable[..., StoreConfig],
    partitions: int,
) -> None:
    store = opened(configured(server.url(), partitions=partitions))
    with store.turn(source("ada"), "m-1") as turn:
        turn.update(output_tokens=1)
    with Watch(server) as watch:
        with store.turn(source("ada"), "m-2") as turn:
            turn.update(output_tokens=1)
        with store.turn(source("ada"), "m-3") as turn:
            turn.end(output_tokens=1)
    assert watch.names == ["begin_turn", "update_session", "end_turn", "begin_turn", "end_turn"]


def test_a_turn_that_waits_costs_one_block_and_one_more_begin(
    server: Server,
    contend: Callable[..., list[Seen]],
    configured: Callable[..., StoreConfig],
) -> None:
    seen = contend(
        server,
        configured(server.url()),
        lambda watch: watch.until("BLPOP"),
        lambda watch: watch.until("recover_turns"),
    )
    begun = ["begin_turn", "begin_turn", "BLPOP"]
    woken = ["end_turn", "begin_turn", "end_turn"]
    # Whoever handed the lane over looks once whether it was claimed.
    assert [one.name for one in seen] == [*begun, *woken, "recover_turns"]


def test_a_turn_that_waits_for_long_costs_about_one_more_pair_a_lease_period(
    server: Server,
    contend: Callable[..., list[Seen]],
    configured: Callable[..., StoreConfig],
) -> None:
    seen = contend(
        server,
        configured(server.url(), turn_lease_ttl=LEASE),
        lambda watch: watch.until("renew_turns", RENEWALS),
        lambda _: None,
    )
    ended = next(one for one in seen if one.name == "end_turn")
    meanwhile = Counter(one.name for one in seen if one.at <= ended.at)
    assert set(meanwhile) == {"begin_turn", "BLPOP", "renew_turns", "end_turn"}
    looks = meanwhile["begin_turn"] - 1  # the first is of the turn that runs
    periods = (ended.at - seen[0].at) / LEASE
    assert 2 <= looks <= 1 + PAIRS_A_PERIOD * periods
    assert meanwhile["BLPOP"] in (looks, looks - 1)
