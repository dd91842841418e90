"""A real Valkey of one's own: no server to set up, one directory, shared by all its processes.

* `server`: `EmbeddedServer`, which starts, finds and stops the server of a directory;
* `directory`: the directory, private to its owner, and a path short enough for a socket;
* `filelock`: which process starts the server, and whether it lives;
* `binary`: where the server program comes from.
"""

from __future__ import annotations

from redisstore.embedded.directory import default_directory
from redisstore.embedded.server import EmbeddedServer

__all__ = ["EmbeddedServer", "default_directory"]
