"""One server process: started on a free loopback port, observed, hurt, and always removed.

Whatever happens to the test run, the process and its directory go away: the context manager
sees to it after an exception or Ctrl-C, the guardian process after anything worse.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import redis
from redis.exceptions import AuthenticationError, NoPermissionError

from .binaries import Backend, require
from .configuration import Directive, Mode, configuration, essentials
from .endpoint import Endpoint
from .guardian import guard, release
from .lifecycle import Managed
from .ports import HOST, lease_port, return_port
from .process import GuardedProcess, ServerStartError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .tls import Certificates

__all__ = ["Server"]

_START_ATTEMPTS = 5
_PORT_TAKEN = "Address already in use"
_READY = ("ready to accept connections", "Sentinel ID is")


class Server(Managed):
    """A server of a backend in a temporary directory of its own, running from `start` on.

    Further keyword arguments are directives of its configuration, underscores for dashes
    (`appendonly=True`, `maxmemory="8mb"`, `requirepass="x"`, `aclfile=path`), and `lines` are
    whole lines of it.  `listen` chooses TCP, a unix socket or both; `tls` makes the TCP port
    speak TLS only.  The configuration is written once, so that what the server itself rewrites
    (CONFIG REWRITE, the state of a sentinel) survives a restart.
    """

    def __init__(
        self,
        backend: Backend | str,
        *,
        listen: Literal["tcp", "unix", "both"] = "tcp",
        mode: Mode = "standalone",
        tls: Certificates | None = None,
        lines: Sequence[str] = (),
        **directives: Directive,
    ) -> None:
        self.backend = require(backend) if isinstance(backend, str) else backend
        self.mode: Mode = mode
        self.tls = tls
        self._listen = listen
        self._lines = tuple(lines)
        self._directives = {name.replace("_", "-"): it for name, it in directives.items()}
        self._directory: Path | None = None
        self._process: GuardedProcess | None = None
        self._port = 0
        self._bus_port = 0
        self._clients: list[redis.Redis] = []

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.running else "not running"
        return f"<{self.backend.name} {self.mode} on {HOST}:{self._port}, {state}>"

    @property
    def directory(self) -> Path:
        """Where the server's configuration, log and data are; gone after `close`."""
        if self._directory is None:
            raise RuntimeError("the server has no directory before start() or after close()")
        return self._directory

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, the same after a restart."""
        if self._listen == "unix":
            raise RuntimeError("this server listens on a unix socket only")
        return HOST, self._port

    @property
    def port(self) -> int:
        """The TCP port."""
        return self.address[1]

    @property
    def bus_port(self) -> int:
        """The port of the cluster bus, when the mode is `cluster`."""
        return self._bus_port

    @property
    def socket_path(self) -> Path:
        """The unix socket, when it listens on one."""
        return self.directory / "server.sock"

    @property
    def endpoint(self) -> Endpoint:
        """How this server is reached."""
        return Endpoint(
            host=HOST,
            port=None if self._listen == "unix" else self._port,
            socket_path=None if self._listen == "tcp" else self.socket_path,
            password=self.password,
            tls=self.tls,
        )

    @property
    def running(self) -> bool:
        """Whether the process lives, paused or not."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """The id of the running process."""
        return self._started.pid

    @property
    def password(self) -> str | None:
        """What `requirepass` was set to."""
        secret = self._directives.get("requirepass")
        return None if secret is None else str(secret)

    def start(self) -> Self:
        """Start the server, again if it ran before, and return when it answers.

        A first start that fails leaves nothing behind.
        """
        if self.running:
            raise RuntimeError("the server is running already")
        if self._process is None:
            return super().start()
        self._launch(self._process)
        return self

    def stop(self) -> None:
        """Ask the server to shut down (SIGTERM) and wait until it has; its directory stays."""
        self._started.end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process by SIGKILL: what it had not written is lost, its directory stays."""
        self._started.end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server if it runs and start it with the same data on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): connections stay open and nothing is answered."""
        self._started.pause()

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        self._started.resume()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze the process for the length of a `with` block."""
        self.pause()
        try:
            yield
        finally:
            if self.running:
                self.resume()

    def close(self) -> None:
        """End the process and remove its directory; safe to call twice."""
        if self._process is not None:
            self._process.end(signal.SIGKILL)
            self._process = None
        while self._clients:
            self._clients.pop().close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            release(self._directory)
            self._directory = None
        self._return_ports()

    def client(self, **options: object) -> redis.Redis:
        """A client which never tries anything twice; the server closes it with itself."""
        client = redis.Redis(**{**self.client_options(), **options})
        self._clients.append(client)
        return client

    def client_options(self) -> dict[str, Any]:
        """What a client of this server is constructed with: address, password, TLS, no retry."""
        return self.endpoint.client_options()

    def url(self, db: int = 0) -> str:
        """The URL of a database: `redis://`, `rediss://` with TLS, `unix://` without TCP."""
        return self.socket_url(db) if self._listen == "unix" else self.endpoint.url(db)

    def socket_url(self, db: int = 0) -> str:
        """The URL of a database by way of the unix socket."""
        return self.endpoint.socket_url(db)

    def ask(self, *words: str | int | bytes) -> Any:
        """The answer to any command, by a connection of its own."""
        with redis.Redis(**self.client_options()) as client:
            asking: Any = client
            return asking.execute_command(*words)

    def info(self, section: str = "default") -> dict[str, Any]:
        """A section of INFO, by a connection of its own."""
        report: dict[str, Any] = self.ask("INFO", section)
        return report

    def commandstats(self) -> dict[str, int]:
        """How often each command ran since the start or `reset_commandstats`, scripts included."""
        prefix = "cmdstat_"
        stats: Mapping[str, Any] = self.info("commandstats")
        return {name.removeprefix(prefix): int(stat["calls"]) for name, stat in stats.items()}

    def reset_commandstats(self) -> None:
        """Count from zero again; the handshake of an asking client will count itself."""
        self.ask("CONFIG RESETSTAT")

    def log(self) -> str:
        """All the server has logged, and what it printed when its configuration was wrong."""
        return self._started.log()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the log, for the message of a failed test."""
        return self._started.log_tail(lines)

    @property
    def _started(self) -> GuardedProcess:
        if self._process is None:
            raise RuntimeError("the server was never started, or is closed")
        return self._process

    def _open(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="test-server-"))
        guard(self._directory)
        self._process = GuardedProcess(self._directory)
        for attempts_left in reversed(range(_START_ATTEMPTS)):
            self._configure()
            try:
                self._launch(self._process)
            except ServerStartError as error:
                if not attempts_left or _PORT_TAKEN not in str(error):
                    raise
                self._return_ports()
            else:
                return

    def _configure(self) -> None:
        """Lease the ports and write the configuration for them."""
        if self._listen != "unix":
            self._port = lease_port()
        if self.mode == "cluster":
            self._bus_port = lease_port()
        text = configuration(self._settings(), self._lines)
        (self.directory / "server.conf").write_text(text, encoding="utf-8")

    def _settings(self) -> dict[str, Directive]:
        settings = essentials(self.mode, self.directory, self._port, self._bus_port)
        if self._listen != "tcp":
            settings["unixsocket"] = self.socket_path
        if self.tls is not None:
            settings |= self.tls.directives(self._port)
        return settings | self._directives

    def _launch(self, process: GuardedProcess) -> None:
        """Run the binary; it is ready when its own log says so and it answers a PING.

        The answer alone would not do: it could come from a stranger on the same port.
        """
        sentinel = ["--sentinel"] if self.mode == "sentinel" else []
        process.launch(
            [str(self.backend.path), str(self.directory / "server.conf"), *sentinel],
            ready=lambda: process.has_logged(*_READY) and self._answers(),
        )

    def _answers(self) -> bool:
        """Whether PING is answered; to be told to log in first is an answer as well."""
        try:
            return bool(self.ask("PING"))
        except (AuthenticationError, NoPermissionError):
            return True
        except (redis.BusyLoadingError, redis.ConnectionError, redis.TimeoutError):
            return False

    def _return_ports(self) -> None:
        for port in (self._port, self._bus_port):
            if port:
                return_port(port)
        self._port = self._bus_port = 0
