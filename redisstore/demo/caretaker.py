"""Removes the demo's own server, whatever became of the demo: ``... caretaker DIRECTORY``.

It waits until its standard input ends, which the death of the demo brings about too. A number
read from there is for how many seconds the server is to stay for somebody who wants to look.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from redisstore.embedded import EmbeddedServer


def main() -> None:
    """Wait, stop the server, remove its directory."""
    directory = Path(sys.argv[1])
    time.sleep(int(sys.stdin.read() or 0))
    EmbeddedServer(directory).stop()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
