"""Replicas as operating system processes, for what threads and event loops can't show.

- `crew`: eight processes that start a job at the same moment, may be killed in it, and answer;
- `worker`: what one of these processes runs;
- `jobs`: what they can be told to do, each with a store of its own;
- `crowd`: a turn of each process waiting for each lane, in an order that is known;
- `ledger`: what was acknowledged to a process, readable after its death.
"""

from __future__ import annotations

from .crew import Crew, Shift
from .ledger import Ledger

__all__ = ["Crew", "Ledger", "Shift"]
