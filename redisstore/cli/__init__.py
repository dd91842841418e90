"""The command line, ``redisstore``; also ``python -m redisstore``.

Exit status 0: done; 1: refused, or found faults; 2: wrong usage; 3: Redis does not answer.
"""

from __future__ import annotations

import sys

_NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line with the arguments of this process, and exit with its status."""
    try:
        from redisstore.cli.app import run  # noqa: PLC0415 - needs packages of an extra
    except ModuleNotFoundError as missing:
        if missing.name not in _NEEDED:
            raise
        print(
            f"redisstore: the command line needs {missing.name}: pip install 'redisstore[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    run()
