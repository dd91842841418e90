"""The play, from beginning to end."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from redisstore.demo import proof
from redisstore.demo.crew import Crew, Replica
from redisstore.demo.history import TIMEZONE, History, load
from redisstore.demo.ledger import Ledger
from redisstore.demo.picture import Picture
from redisstore.demo.place import LOOK_SECONDS, Place, prepared
from redisstore.demo.proof import Check, Entries, Prune
from redisstore.demo.screen import Screen
from redisstore.demo.settings import HOLD_TTL, TURN_TTL
from redisstore.demo.traffic import Traffic
from redisstore.errors import RedisStoreError
from redisstore.keys import SessionKey
from redisstore.sync.store import SessionStore
from redisstore.transfer import import_file

_BEFORE_KILL, _DEAD = 0.25, 0.1
"""Parts of the traffic's time: up to a kill, and from there to the new start."""
_BESIDES_TRAFFIC = 6
"""Seconds, about, for starts and the verdict."""


def run_demo(url: str | None, *, seconds: float, replicas: int) -> bool:
    """Show several gateway processes at work on one store, and check that everything held.

    Args:
        url: a server to use, in a fresh namespace that is removed at the end; ``None``: start an
            embedded server. On a terminal that one stays up for ten minutes, to be looked at.
        seconds: how long messages come; the rest takes some seconds more.
        replicas: how many gateway processes.

    Returns:
        Whether every check held.

    Raises:
        InvalidInput: the URL is wrong, or there is no server program to start.
        StoreUnavailable: the server does not answer.
        ReplicaFailed: a gateway ended, or fell silent, though nobody killed it.

    """
    began = time.monotonic()
    screen = Screen()
    screen.title(
        f"redisstore: {replicas} gateway{'s' * (replicas > 1)}, one store",
        "- they answer the same people, each message once, whoever is killed on the way. Takes "
        f"about {seconds + _BESIDES_TRAFFIC:.0f} s.",
    )
    with _ended_by_sigterm(), prepared(url) as place:
        with place.store() as store:
            checks = _Play(screen, place, store).run(seconds, replicas)
        failed = sum(not check.holds for check in checks)
        screen.verdict(failed, len(checks), time.monotonic() - began)
        place.stays = place.socket is not None and screen.is_terminal
        _say_what_stays(screen, place)
    return not failed


class _Play:
    """The steps, and what each hands on to the next."""

    def __init__(self, screen: Screen, place: Place, store: SessionStore) -> None:
        self._screen = screen
        self._place = place
        self._store = store
        self._history: History = load(today=datetime.now(UTC))
        self._ledger = Ledger()

    def run(self, seconds: float, replicas: int) -> list[Check]:
        """Play it, and return the verdict."""
        self._introduce_server()
        before = self._import()
        with ExitStack() as holds:
            for key in self._history.busy:
                holds.enter_context(self._store.hold_process(key, process_id=f"job of {key}"))
            self._screen.say(
                "hold",
                f"{len(self._history.busy)} background processes hold their sessions",
                f"(each lapses {HOLD_TTL:.0f} s after its last renewal: the dead pin nothing)",
            )
            self._screen.say(
                "turns",
                "one gateway at a time has a person's session, for one message; others wait",
                f"(what a gateway was busy with when it died is free again after {TURN_TTL:.0f} s)",
            )
            traffic = self._exchange(seconds, replicas)
            return self._prove(before, traffic, self._prune())

    def _introduce_server(self) -> None:
        _, info = next(self._store.list_servers())
        if isinstance(info, RedisStoreError):
            raise info
        own = ", started for this, every write synced to disk" if self._place.socket else ""
        self._screen.say(
            "server",
            f"{info}{own}",
            f"{self._place.label}, namespace {self._place.namespace}",
        )

    def _import(self) -> Entries:
        with tempfile.TemporaryDirectory(prefix="redisstore-demo-") as directory:
            path = Path(directory) / "sessions.json"
            self._history.write(path)
            with self._screen.progress("import") as advance:
                report = import_file(self._store, path, zone=TIMEZONE, on_progress=advance)
        self._screen.say(
            "import",
            f"{report.created} sessions of a year, from a real gateway's sessions.json",
            f"({len(report.bad)} refused; all times moved so that its last day is today)",
        )
        return self._entries()

    def _exchange(self, seconds: float, replicas: int) -> Traffic:
        """Let people write, and two replicas die in the middle of it and come back."""
        with Crew(self._place, replicas) as crew:
            traffic = Traffic(self._store, crew, self._ledger, self._history.talkers())
            picture = Picture(self._screen, self._store, crew, self._ledger, traffic)
            with self._screen.live(picture.drawn, picture.line) as draw:
                traffic.on_look = lambda: self._look(draw)
                self._screen.event(f"{replicas} gateways start, each a process of its own")
                traffic.wait_until_ready()
                self._screen.event("people write to any gateway; some messages come twice")
                for victim in (crew.replicas[0], crew.replicas[-1]):
                    traffic.run(seconds * _BEFORE_KILL)
                    self._kill(traffic, victim)
                    traffic.run(seconds * _DEAD)
                    victim.start()
                    traffic.run_until_ready()
                    self._screen.event(f"{victim.name} is back, under its name")
                traffic.run(seconds * (1 - 2 * (_BEFORE_KILL + _DEAD)))
                self._screen.event("no more messages; the last ones are answered")
                traffic.drain()
        return traffic

    def _kill(self, traffic: Traffic, victim: Replica) -> None:
        kill = traffic.kill(victim)
        self._screen.event(
            f"{victim.name} is killed (kill -9) in the middle of {len(kill.messages)} messages; "
            "they will be delivered again",
            "bold red",
        )

    def _look(self, draw: Callable[[], None]) -> None:
        for kill in self._ledger.mended():
            self._screen.event(
                f"all {len(kill.messages)} messages that {kill.replica} left are answered, "
                f"{time.monotonic() - kill.at:.1f} s after the kill",
                "green",
            )
        draw()

    def _prune(self) -> Prune:
        """Remove what is older than the gateway's own limit: a rehearsal first."""
        active_again = self._history.removed_by_gateway & self._ledger.accounts.keys()
        expected = self._history.removed_by_gateway - active_again
        removed: set[SessionKey] = set()
        cutoff = self._history.cutoff
        rehearsal = self._store.prune_old_entries(before=cutoff, dry_run=True)
        report = self._store.prune_old_entries(
            before=cutoff, on_batch=lambda batch: removed.update(batch.removed)
        )
        self._screen.say(
            "prune",
            f"{report.scanned} sessions were idle for {self._history.max_age.days} days: "
            f"{rehearsal.removed} would go (dry run), {report.removed} went; "
            f"{report.kept['suspended']} suspended and {report.kept['active']} held ones stay",
            f"(the real gateway's own prune removed {len(self._history.removed_by_gateway)}; "
            f"{len(active_again)} of these people have just written again)",
        )
        return Prune(expected, frozenset(removed), rehearsal, report)

    def _prove(self, before: Entries, traffic: Traffic, prune: Prune) -> list[Check]:
        after = self._entries()
        faults = list(self._store.audit())
        held = [key for key in self._history.busy if self._store.list_holds(key)]
        checks = [
            proof.answered_once(self._ledger),
            proof.one_turn_at_a_time(self._ledger),
            proof.resumed_after_kills(self._ledger),
            proof.one_session_each(self._ledger, before, after, traffic.newcomers),
            proof.no_lost_count(self._ledger, before, after),
            proof.pruned_exactly(prune, before, after, self._ledger),
            proof.kept_what_lives(
                after, held, self._history.busy, self._history.suspended, prune.report
            ),
            proof.nothing_to_repair(faults, after),
        ]
        self._screen.say("proof", "what the gateways were answered, against what is stored now")
        for check in checks:
            self._screen.check(check)
        return checks

    def _entries(self) -> Entries:
        return {entry.session_key: entry for entry in self._store.list_sessions()}


def _say_what_stays(screen: Screen, place: Place) -> None:
    if not place.stays:
        screen.commands("Nothing of the demo is left behind.", [])
        return
    socket, tag = place.socket, "{" + place.namespace + "}"
    cli = _redisstore_command()
    commands = [
        f"{cli} list --url unix://{socket} --limit 10",
        f"{cli} doctor --url unix://{socket}",
    ]
    if shutil.which("redis-cli"):
        commands += [
            f"redis-cli -s {socket} ZREVRANGE '{tag}:updated_at' 0 9",
            f"redis-cli -s {socket} HGETALL '{tag}:entry:agent:main:telegram:dm:new-1'",
        ]
    screen.commands(
        f"Look at it yourself; the server stays for {LOOK_SECONDS // 60} minutes:", commands
    )


def _redisstore_command() -> str:
    if shutil.which("redisstore"):
        return "redisstore"
    beside = Path(sys.executable).with_name("redisstore")
    return str(beside) if beside.exists() else f"{sys.executable} -m redisstore"


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end a ``with`` block as Ctrl-C does: with tidying up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        raise SystemExit(128 + number)

    earlier = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
