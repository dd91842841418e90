"""One gateway process: its home, its port, its life and its death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.servers import HOST, lease_port, return_port, wait_until
from tests.servers.guardian import guard, release
from tests.servers.lifecycle import Managed

from .installations import Installation
from .phone import Chat

__all__ = ["Gateway"]

_PATIENCE = 90
_STARTED = "gateway.run: Press Ctrl+C to stop"
_PASSWORD = "pw"  # noqa: S105 # of a stand-in


class Gateway(Managed):
    """`hermes gateway run` in a home of its own; can be ended and started again.

    A `with` block starts it, unless `start` says that this is done later, by `launch`.
    """

    def __init__(
        self,
        installed: Installation,
        home: Path,
        *,
        model: str,
        phone: str,
        environment: Mapping[str, str],
        plugins: tuple[str, ...] = ("redisstore",),
        start: bool = True,
    ) -> None:
        self.home = home
        self._installed = installed
        self._start = start
        self._environment = dict(environment)
        self._port = lease_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log_begin = 0
        home.mkdir(parents=True, exist_ok=True)
        settings = self._settings(model, phone, plugins)
        (home / "config.yaml").write_text(json.dumps(settings), "utf-8")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process, unless it runs, and return at once."""
        if self.running:
            return
        self._log_begin = len(self.log())
        with (self.home / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [str(self._installed.programs / "hermes"), "gateway", "run", "-v"],
                env=self._full_environment(),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        guard(self._process.pid)

    def wait_ready(self) -> None:
        """Return when it takes messages and has taken up what an earlier run left."""
        wait_until(
            lambda: not self.running or (_STARTED in self.recent_log() and self.healthy()),
            timeout=_PATIENCE,
            message=f"the start of {self.home.name}:\n{self.log_tail()}",
        )
        assert self.running, f"{self.home.name} ended at its start:\n{self.log_tail()}"

    def wait_ended(self) -> int:
        """Wait until it ends by itself, and return its status."""
        assert self._process is not None
        status = self._process.wait(_PATIENCE)
        self._clean_up()
        return status

    def stop(self) -> None:
        """Ask it to end (SIGTERM) and wait until it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it by SIGKILL, with whatever it was doing."""
        self._end(signal.SIGKILL)

    def deliver(self, chat: Chat, text: str, guid: str | None = None) -> None:
        """Hand a message over, as the messaging server does; the text is its id if none is given.

        Returns when the gateway has it, long before the answer.
        """
        self._ask(
            f"/bluebubbles-webhook?password={_PASSWORD}",
            json.dumps(chat.message(text, guid or text)).encode(),
        )

    def healthy(self) -> bool:
        """Whether its event loop answers."""
        try:
            self._ask("/health")
        except OSError:
            return False
        return True

    def log(self) -> str:
        """All it has printed, in every run."""
        path = self.home / "output"
        return path.read_text("utf-8", errors="replace") if path.exists() else ""

    def recent_log(self) -> str:
        """What it has printed since its latest start."""
        return self.log()[self._log_begin :]

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log().splitlines()[-lines:])

    def close(self) -> None:
        """End the process and give the port back; the home is the caller's."""
        self._end(signal.SIGKILL)
        if self._port:
            return_port(self._port)
            self._port = 0

    def _open(self) -> None:
        if self._start:
            self.launch()
            self.wait_ready()

    def _ask(self, path: str, body: bytes | None = None) -> None:
        with urllib.request.urlopen(f"http://{HOST}:{self._port}{path}", body, timeout=30) as reply:
            reply.read()

    def _end(self, order: signal.Signals) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, order)
        try:
            self._process.wait(_PATIENCE)
        finally:
            self._clean_up()

    def _clean_up(self) -> None:
        """End what the process may have left of its group."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        release(self._process.pid)
        self._process = None

    def _full_environment(self) -> dict[str, str]:
        """Nothing of the person's who runs the tests: neither keys nor files."""
        return {
            "PATH": f"{self._installed.programs}:{os.defpath}",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HOME": str(self.home),
            "HERMES_HOME": str(self.home),
            "BLUEBUBBLES_ALLOW_ALL_USERS": "true",
            # Else each first message is answered with a hint about it, too.
            "BLUEBUBBLES_HOME_CHANNEL": Chat("+1000").guid,
            **self._environment,
        }

    def _settings(self, model: str, phone: str, plugins: tuple[str, ...]) -> dict[str, Any]:
        return {
            "model": {
                "default": "stub",
                "provider": "custom",
                "base_url": f"{model}/v1",
                "api_key": "stub-key",
                "context_length": 131072,
            },
            "plugins": {"enabled": list(plugins)},
            "approvals": {"destructive_slash_confirm": False},
            "platforms": {
                "bluebubbles": {
                    "enabled": True,
                    "extra": {
                        "server_url": phone,
                        "password": _PASSWORD,
                        "webhook_host": HOST,
                        "webhook_port": self._port,
                        "send_read_receipts": False,
                    },
                }
            },
            **_QUIET,
        }


_QUIET: dict[str, Any] = {
    # A turn that is asked to end is given up after a second.
    "agent": {"restart_drain_timeout": 1},
    # One cheap tool: others look for programs, or install packages, in the first turn.
    "platform_toolsets": {"bluebubbles": ["clarify"]},
    "security": {"allow_lazy_installs": False, "tirith_enabled": False},
    # No day ends in the middle of a test.
    "session_reset": {"mode": "none"},
    # Many restarts in a minute are no fault here: they don't keep it from resuming.
    "gateway": {"restart_loop_guard": {"max_restarts": 0}},
    # The first message is passed on as it is.
    "onboarding": {"profile_build": "off"},
    "auxiliary": {"title_generation": {"enabled": False}},
    "kanban": {"dispatch_in_gateway": False},
    "model_catalog": {"enabled": False},
    "curator": {"enabled": False},
}
"""What nothing here is about, and what would ask the network."""
