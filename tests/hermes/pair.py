"""Two gateways on one Redis, and everything around them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from redisstore import RunningTurn, SessionStore, StoreConfig
from tests.servers import Server, wait_until
from tests.servers.guardian import guard, release
from tests.servers.lifecycle import Managed

from .gateway import Gateway
from .installations import Installation
from .model import Model, answer_to
from .phone import Chat, Phone

__all__ = ["LEASE", "Pair"]

LEASE = 10
"""Seconds that a turn outlives its replica here. By default three times as long; shorter, and the
first turn of a gateway, which holds up its event loop, loses its lease on a busy machine."""

_PATIENCE = 60
_PREPARE = (
    "import pathlib, sys; from hermes_state import SessionDB; SessionDB(pathlib.Path(sys.argv[1]))"
)


class Pair(Managed):
    """Gateways one and two, which are started when a test asks for them."""

    def __init__(
        self, installed: Installation, redis: Server, plugins: tuple[str, ...] = ("redisstore",)
    ) -> None:
        self.redis = redis
        self.model = Model()
        self.phone = Phone()
        self.one: Gateway
        self.two: Gateway
        self.namespace = f"hermes-{installed.version.replace('.', '-')}"
        self._installed = installed
        self._plugins = plugins
        self._stack = ExitStack()

    @property
    def gateways(self) -> tuple[Gateway, Gateway]:
        return self.one, self.two

    def start_both(self) -> None:
        """Have both gateways run: at the same moment, so that neither waits for the other."""
        for gateway in self.gateways:
            gateway.launch()
        for gateway in self.gateways:
            gateway.wait_ready()

    def wait_for(self, chat: Chat, text: str) -> None:
        """Wait until a person has been sent a text."""
        self.wait_until(chat, lambda: text in self.phone.texts(chat), f"the text {text!r}")

    def wait_until(self, chat: Chat, predicate: Callable[[], bool], message: str) -> None:
        """Wait for something that a gateway does for a person; a failure tells what there is."""
        try:
            wait_until(predicate, timeout=_PATIENCE, message=message)
        except TimeoutError as error:
            logs = [f"{one.home.name} logged:\n{one.log_tail()}" for one in self.gateways]
            texts = f"{chat.address} got {self.phone.texts(chat)}"
            raise AssertionError("\n".join([str(error), texts, *logs])) from None

    def wait_answered(self, chat: Chat, name: str) -> None:
        """Wait until a message is answered, and its turn is over."""
        self.wait_for(chat, answer_to(name))
        self.wait_until(chat, lambda: self.holder(chat) is None, f"the end of {name}")

    def talk(self, gateway: Gateway, chat: Chat, name: str) -> None:
        """Deliver a message, and wait until it is answered."""
        gateway.deliver(chat, name)
        self.wait_answered(chat, name)

    def talk_to_both(self, chat: Chat, name: str) -> None:
        """Talk to one and then to two: what was delivered before has been dealt with by then."""
        self.talk(self.one, chat, f"{name}-one")
        self.talk(self.two, chat, f"{name}-two")

    def answers(self, chat: Chat, name: str) -> int:
        """How often a person got the answer to a message."""
        return self.phone.texts(chat).count(answer_to(name))

    def answered(self, chat: Chat) -> list[str]:
        """The answers that a person got, to whatever message, without notices of the gateway."""
        beginning = answer_to("")[:-1]
        return [text for text in self.phone.texts(chat) if text.startswith(beginning)]

    def store(self) -> SessionStore:
        """A look into the store that both share."""
        config = StoreConfig(url=self.redis.url(), namespace=self.namespace, replica="tester")
        return SessionStore.from_url(config=config)

    def session_id(self, chat: Chat) -> str:
        """The conversation that a person is in now."""
        with self.store() as store:
            entry = store.get_session(chat.session_key)
        assert entry is not None, f"no session of {chat.address} is in the store"
        return entry.session_id

    def holder(self, chat: Chat) -> str | None:
        """The replica that has a turn of this conversation now."""
        turn = self._turn(chat)
        return None if turn is None else turn.replica

    def waiting(self, chat: Chat) -> int:
        """How many messages of this conversation wait for the one before them."""
        turn = self._turn(chat)
        return 0 if turn is None else turn.waiting

    def close(self) -> None:
        self._stack.close()

    def _turn(self, chat: Chat) -> RunningTurn | None:
        with self.store() as store:
            turns = [one for one in store.list_turns() if one.session_key == chat.session_key]
        return turns[0] if turns else None

    def _open(self) -> None:
        homes = Path(tempfile.mkdtemp(prefix="gateways-"))
        guard(homes)
        self._stack.callback(release, homes)
        self._stack.callback(shutil.rmtree, homes, ignore_errors=True)
        self._stack.enter_context(self.model)
        self._stack.enter_context(self.phone)
        self.one, self.two = (self._gateway(homes / name) for name in ("one", "two"))
        self._share_transcripts()

    def _gateway(self, home: Path) -> Gateway:
        gateway = Gateway(
            self._installed,
            home,
            model=self.model.url,
            phone=self.phone.url,
            plugins=self._plugins,
            environment={
                "REDISSTORE_URL": self.redis.url(),
                "REDISSTORE_NAMESPACE": self.namespace,
                "REDISSTORE_REPLICA": home.name,
                "REDISSTORE_TURN_LEASE_TTL": str(LEASE),
            },
        )
        self._stack.callback(gateway.close)
        return gateway

    def _share_transcripts(self) -> None:
        """One `state.db` for both, made before two processes could make it at once."""
        database = self.one.home / "state.db"
        python = self._installed.programs / "python"
        command = [str(python), "-c", _PREPARE, str(database)]
        subprocess.run(command, cwd=self.one.home, check=True)
        (self.two.home / "state.db").symlink_to(database)
