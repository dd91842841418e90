"""A gateway's home: where it is, what it sets, and which process says that it runs there.

Nothing here needs the gateway's own packages, and nothing is written.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_settings import DotEnvSettingsSource

from redisstore.config import StoreConfig
from redisstore.errors import InvalidInput

_START_FIELD = 19
"""Of ``/proc/PID/stat``, counted behind the name."""
_REFERENCE = re.compile(r"\$\{([^}]+)\}")


def home_of(directory: str | os.PathLike[str] | None = None) -> Path:
    """Return a gateway's home: the given one, else that of this process."""
    return Path(directory or os.environ.get("HERMES_HOME") or Path.home() / ".hermes").resolve()


def variables(home: Path) -> dict[str, str]:
    """Return what ``.env`` in a home sets; the gateway reads it first, and it wins.

    Raises:
        InvalidInput: it can't be read.

    """
    path = home / ".env"
    try:
        read = DotEnvSettingsSource(
            StoreConfig, env_file=path, env_file_encoding="utf-8", case_sensitive=True
        )
    except (OSError, ValueError) as error:
        raise InvalidInput(".env", f"{path} can't be read: {error}") from error
    return {name: value for name, value in read.env_vars.items() if value is not None}


@contextmanager
def surroundings(home: Path) -> Iterator[None]:
    """Have the environment, in a ``with`` block, as the gateway of a home has it."""
    before = dict(os.environ)
    os.environ.update(variables(home), HERMES_HOME=str(home))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def configuration(home: Path) -> dict[str, Any]:
    """Return what ``config.yaml`` in a home says, ``${NAME}`` replaced as by the gateway.

    Raises:
        InvalidInput: it can't be read, or there is no YAML in this environment.

    """
    path = home / "config.yaml"
    try:
        yaml: Any = importlib.import_module("yaml")
    except ModuleNotFoundError as error:
        problem = "can't be read: PyYAML is not in this environment, which the gateway's own has"
        raise InvalidInput(path.name, problem) from error
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise InvalidInput(path.name, f"can't be read: {problem}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidInput(path.name, "is not made of settings by name")
    return {str(name): _expanded(value) for name, value in found.items()}


def _expanded(value: Any) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: os.environ.get(found[1], found[0]), value)
    if isinstance(value, dict):
        return {name: _expanded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_expanded(one) for one in value]
    return value


@dataclass(frozen=True)
class Recorded:
    """The process that a gateway has noted in its home; it may have ended since."""

    pid: int
    started: int | None

    @property
    def runs(self) -> bool:
        """Whether it runs, on this machine."""
        if sys.platform == "win32":  # where 0 is no question, but a signal
            return False
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True
        except (OSError, OverflowError):
            return False
        now = _started(self.pid)
        return None in {now, self.started} or now == self.started


def recorded(home: Path) -> Recorded | None:
    """Return the process that is noted in a home, if one is."""
    try:
        noted = json.loads((home / "gateway.pid").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    pid, started = (
        (noted.get("pid"), noted.get("start_time")) if isinstance(noted, dict) else (noted, None)
    )
    if not isinstance(pid, int) or pid <= 0:
        return None
    return Recorded(pid, started if isinstance(started, int) else None)


def _started(pid: int) -> int | None:
    """Return when a process began, in ticks since the machine did; tells it from a later one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return int(fields[_START_FIELD])
    except (OSError, ValueError, IndexError):
        return None
