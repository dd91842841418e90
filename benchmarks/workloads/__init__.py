"""All workloads, in the order in which they are run and shown."""

from __future__ import annotations

from benchmarks.workload import Workload
from benchmarks.workloads import (
    beside,
    capacity,
    floor,
    gateway,
    importing,
    json_file,
    latest,
    memory,
    partitions,
    parts,
    people,
    prune,
    resolve,
    round_trip,
    spread,
    start,
    tenth,
    turns,
)

WORKLOADS: tuple[Workload, ...] = (
    prune.DISTINCT_TIMES,
    prune.EQUAL_TIMES,
    resolve.WORKLOAD,
    floor.WORKLOAD,
    parts.MESSAGE,
    parts.PRUNE,
    latest.WORKLOAD,
    start.WORKLOAD,
    tenth.WORKLOAD,
    turns.COST,
    turns.CROWD,
    beside.MESSAGE,
    beside.NEW,
    beside.TURN,
    people.WORKLOAD,
    gateway.WORKLOAD,
    json_file.WORKLOAD,
    memory.WORKLOAD,
    round_trip.WORKLOAD,
    importing.WORKLOAD,
    partitions.WORKLOAD,
    spread.WORKLOAD,
    capacity.WORKLOAD,
)
"""Prune comes first: the smallest heap, and what may hold the server longest."""
