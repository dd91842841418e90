"""One sequence on both sides, and the shortest one that still fails."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from redisstore.connect import SyncClient

from . import calls, drawing
from .deliberate import DELIBERATE, Deliberate
from .drawing import Call, Settings
from .gateway import Gateway
from .moment import Moment
from .side import PluginSide, Side
from .views import Difference, View, by_key, differences, held_view, rows_view

NAMESPACE = "differential"


@dataclass
class Played:
    """What came of a sequence."""

    done: int = 0
    met: Counter[str] = field(default_factory=Counter)
    """Deliberate differences, by their reasons."""
    found: list[Difference] = field(default_factory=list)
    """What differs without a reason after the last call."""


class Stage:
    """Where sequences are played: one server, one directory, one version of the gateway."""

    def __init__(self, gateway: Gateway, client: SyncClient, directory: Path) -> None:
        self._gateway = gateway
        self._client = client
        self._directory = directory
        self._template = directory / "template.db"
        gateway.state.SessionDB(self._template).close()

    def draw(self, seed: int) -> tuple[Settings, list[Call]]:
        """Return the settings and the sequence of a seed."""
        rng = Random(seed)
        setup = drawing.settings(rng)
        return setup, drawing.sequence(rng, setup, newer=self._gateway.recovers)

    def play(self, setup: Settings, sequence: Sequence[Call]) -> Played:
        """Do the calls on both sides, until they differ or are through."""
        played = Played()
        with self._sides(setup) as (own, plugin):
            for call in sequence:
                played.done += 1
                if not self._step(setup, call, own, plugin, played):
                    break
        return played

    def shortest(self, setup: Settings, sequence: Sequence[Call]) -> list[Call]:
        """Drop calls from a sequence that fails, for as long as it still does."""
        calls_left = list(sequence)
        size = len(calls_left) // 2
        while size:
            at = len(calls_left) - size
            while at >= 0:
                fewer = calls_left[:at] + calls_left[at + size :]
                if self.play(setup, fewer).found:
                    calls_left = fewer
                at -= size
            size //= 2
        return calls_left

    def _step(self, setup: Settings, call: Call, own: Side, plugin: Side, played: Played) -> bool:
        """Do a call on both sides; false if they are not alike any more."""
        if call.name == "tick":
            self._gateway.advance(*call.args)
            return True
        if call.name == "restart":
            self._gateway.advance(1)
        before, rows = by_key(own, own.store._entries.items()), rows_view(own)
        lane = calls.lane_of(call)
        seen = [_seen(side, calls.do(side, call)) for side in (own, plugin)]
        moment = Moment(
            self._gateway, setup, call, calls.key_of(own, lane), before, rows, own.processes, *seen
        )
        return self._settle(moment, own, plugin, played)

    def _settle(self, moment: Moment, own: Side, plugin: Side, played: Played) -> bool:
        """Make the sides agree if they differ as they are meant to; false if they don't then."""
        found = differences(moment.own, moment.plugin)
        if not found:
            return True
        meant = {one: _reason(moment, one) for one in found}
        reasons = {reason.text: reason for reason in meant.values() if reason}
        played.met.update(list(reasons))
        played.found = [one for one, reason in meant.items() if reason is None]
        if played.found or not all(reason.settle for reason in reasons.values()):
            return False
        answer = None
        for reason in reasons.values():
            if reason.settle:
                answer = reason.settle(moment, own, plugin) or answer
        own.store._save()
        if answer is not None:
            again = replace(moment, own=_seen(own, answer))
            return self._settle(again, own, plugin, played)
        played.found = differences(_seen(own), _seen(plugin))
        return not played.found

    @contextmanager
    def _sides(self, setup: Settings) -> Iterator[tuple[Side, Side]]:
        self._client.flushdb()
        self._gateway.begin(self._client, NAMESPACE)
        os.environ["REDISSTORE_HERMES_RECOVER"] = str(setup.recover).lower()
        directory = self._directory / "sequence"
        config = self._config(setup)
        sides = (
            Side(self._gateway, directory / "own", config, self._template),
            PluginSide(self._gateway, directory / "plugin", config, self._template),
        )
        try:
            yield sides
        finally:
            for side in sides:
                side.close()
            shutil.rmtree(directory)

    def _config(self, setup: Settings) -> Any:
        made = self._gateway.config

        def policy(given: tuple[str, int, int]) -> Any:
            mode, hour, minutes = given
            return made.SessionResetPolicy(mode=mode, at_hour=hour, idle_minutes=minutes)

        return made.GatewayConfig(
            default_reset_policy=policy(setup.default),
            reset_by_type={"group": policy(setup.of_groups)} if setup.of_groups else {},
            reset_by_platform=(
                {made.Platform.SLACK: policy(setup.of_slack)} if setup.of_slack else {}
            ),
        )


def _seen(side: Side, answer: View = None) -> View:
    return {"answer": answer, "in hand": held_view(side), "rows": rows_view(side)}


def _reason(moment: Moment, found: Difference) -> Deliberate | None:
    return next((one for one in DELIBERATE if one.explains(moment, found)), None)
