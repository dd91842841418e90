"""A worker process: ``python -m tests.processes FD``, the inherited end of a pipe."""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

from .worker import serve

serve(Connection(int(sys.argv[1])))
