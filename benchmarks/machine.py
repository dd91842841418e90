"""Where and with what a run was made: machine, versions, load."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import without_python

_NONE = "(not installed)"
_PACKAGES = ("redisstore", "redis", "hiredis", "pydantic")


COMPARED = (
    "starsessions",
    "Flask-Session",
    "Flask",
    "Django",
    "django-redis",
    "aiogram",
    "openai-agents",
)
"""What the `bench` extra brings to be compared with."""


def missing() -> list[str]:
    """Return what of that is not installed."""
    return [name for name in COMPARED if _version(name) == _NONE]


def machine() -> dict[str, str]:
    """Return what is known of the machine and the software, by name."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "started": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{pages / 2**30:.1f} GiB",
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
        "compared": ", ".join(f"{name} {_version(name)}" for name in COMPARED),
        "load without Python": without_python.version(),
        "load at the start": load(),
    }


def load() -> str:
    """Return the load averages of the last 1, 5 and 15 minutes."""
    return ", ".join(f"{average:.2f}" for average in os.getloadavg())


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _NONE
