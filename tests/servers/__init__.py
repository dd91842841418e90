"""Real servers for the tests: started in milliseconds, hurt on purpose, never left behind.

A guide to the house, from the ground up:

- `binaries`: which servers there are to run against, and what happens when one is missing;
- `waiting`: `wait_until`, used instead of sleeping;
- `ports`, `guardian`, `process`, `configuration`, `endpoint`, `lifecycle`: a free port, the
  clean-up after a killed test run, the child process, its configuration file, the way to reach
  it, and the `with` block it lives in;
- `single`: `Server`, one server of a backend, on which the next two are built;
- `cluster`: `Cluster`, three masters and perhaps their replicas;
- `sentinel`: `SentinelSetup`, a master and a replica under three sentinels;
- `tls`: certificates for a `Server` with TLS;
- `wire`, `proxy`: `FaultyProxy`, which loses, holds, delays and cuts what passes through it.

All of them listen on the loopback address only, and keep their files in a temporary directory.
"""

from __future__ import annotations

from .binaries import BACKEND_NAMES, Backend, available, backend, missing, require
from .cluster import Cluster
from .configuration import Directive
from .ports import HOST, lease_port, return_port
from .process import ServerStartError
from .proxy import SCRIPT_COMMANDS, FaultyProxy
from .sentinel import SentinelSetup
from .single import Server
from .tls import Certificates, make_certificates
from .waiting import wait_until

__all__ = [
    "BACKEND_NAMES",
    "HOST",
    "SCRIPT_COMMANDS",
    "Backend",
    "Certificates",
    "Cluster",
    "Directive",
    "FaultyProxy",
    "SentinelSetup",
    "Server",
    "ServerStartError",
    "available",
    "backend",
    "lease_port",
    "make_certificates",
    "missing",
    "require",
    "return_port",
    "wait_until",
]
