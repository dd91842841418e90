"""Where the demo plays: a server of its own, or a namespace of its own on a given one."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast
from urllib.parse import quote

from redisstore.connect.url import parse
from redisstore.demo.settings import store_config
from redisstore.embedded import EmbeddedServer
from redisstore.errors import InvalidInput, StoreUnavailable
from redisstore.sync.store import SessionStore

LOOK_SECONDS = 600
"""How long the demo's own server stays up afterwards, when somebody may want to look at it."""
_PROBE_SECONDS = 3.0
_TIDY_SECONDS = 30.0


@dataclass
class Place:
    """A store for the demo alone."""

    url: str
    namespace: str
    label: str
    """The URL without its password."""
    socket: Path | None = None
    """The socket of the demo's own server."""
    stays: bool = False
    """Set it to keep the demo's own server for ``LOOK_SECONDS``."""

    @contextlib.contextmanager
    def store(self) -> Iterator[SessionStore]:
        """Open the store for the length of a ``with`` block; drop it then if the server stays.

        Raises:
            StoreUnavailable: the server was away by then; names the namespace that is left.

        """
        config = store_config(self.url, self.namespace, replica="demo")
        with SessionStore.from_url(config=config) as store:
            try:
                yield store
            finally:
                if self.socket is None:
                    self._drop(store)

    def _drop(self, store: SessionStore) -> None:
        # This store wrote before all gateways, so it knows where keys are also if meta is gone.
        try:
            store.drop(force=True)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"{self.label}: namespace {self.namespace} could not be removed: {error}"
            ) from error


@contextlib.contextmanager
def prepared(url: str | None) -> Iterator[Place]:
    """Give the demo a place for the length of a ``with`` block; no server of its own outlives it.

    Args:
        url: of a server to use, in a fresh namespace; ``None``: start one of our own.

    Raises:
        InvalidInput: the URL is wrong, or names what processes can't share.
        StoreUnavailable: the server can't be started, or does not answer.

    """
    if url is None:
        with _own_server() as place:
            yield place
        return
    target = parse(url)
    if target.kind == "memory":
        raise InvalidInput("url", "memory: is one process's own; the demo runs several")
    place = Place(url, f"demo-{secrets.token_hex(4)}", target.label)
    _expect_an_answer(place)
    yield place


@contextlib.contextmanager
def _own_server() -> Iterator[Place]:
    directory = Path(tempfile.mkdtemp(prefix="redisstore-demo-")).resolve()
    server = EmbeddedServer(directory)
    # A process of its own, since the demo itself may be killed.
    caretaker = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "redisstore.demo.caretaker", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"embedded://{quote(str(directory))}"
    place = Place(url, "redisstore", url, server.socket_path)
    orders = cast("IO[bytes]", caretaker.stdin)
    try:
        server.ensure_running()
        yield place
    finally:
        with orders:
            if place.stays:
                orders.write(b"%d\n" % LOOK_SECONDS)
        if not place.stays:
            caretaker.wait(_TIDY_SECONDS)


def _expect_an_answer(place: Place) -> None:
    patient = store_config(place.url, place.namespace, replica="demo")
    with SessionStore.from_url(config=patient.model_copy(update={"deadline": _PROBE_SECONDS})) as s:
        s.count_sessions()
