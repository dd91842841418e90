"""What Redis keys are called, and which partition a session key lives in.

``lua/README.md`` tells what each holds. Some (``fence``, ``op:``, ``lock_queue:``, ``replica:``)
only scripts look at, which compose their names.

The layout, version 1, for the namespace ``ns`` and P partitions:

* Each key begins with the hash tag of its partition. With P = 1 the tag is ``{ns}``. With more,
  partition ``i`` (counted from 0) has ``{ns.i.n}``: ``n`` is the first of 0, 1, 2 ... that puts
  the tag's slot into the middle quarter of the i-th of P equal parts of the 16384 slots, so that
  the partitions spread evenly over any number of masters.
* A session key belongs to partition ``crc32(utf-8) % P`` (zlib's CRC-32).
* ``{ns}:meta`` stands at the same place whatever P is.

``tests/data/golden_tags.json`` holds tags that must never change.
"""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NewType, TypeVar

from redisstore.errors import InvalidInput, short_repr

SessionKey = NewType("SessionKey", str)
"""A conversation lane: ``agent:main:telegram:dm:42``."""

SessionId = NewType("SessionId", str)
"""The conversation that a lane is bound to now: ``20261122_112233_deadbeef0123``."""

LAYOUT_VERSION = 1

# What the keys at a place are called; a colon stands before the name of a single one.
KINDS_OF_A_LANE = ("entry:", "holds:", "turn:", "queue:")
"""What a lane has and the indexes tell of. ``seen:`` is no such: it lapses by itself."""
INDEXES = ("updated_at", "expiry", "active", "turns", "locks")
"""The sorted sets of a partition: of session keys; ``locks`` of session ids."""
KINDS_OF_A_PARTITION = (
    *KINDS_OF_A_LANE,
    *INDEXES,
    *("session_ids:", "op:", "wake:", "seen:", "lock:", "lock_queue:", "fence", "events", "meta"),
)
"""All that is in a partition."""
KINDS_OF_THE_STORE = ("replica:", "job:", "replicas", "meta")
"""What stands at the same place whatever the partition count."""

SLOTS = 16384
MAX_PARTITIONS = 256
_NAMESPACE = re.compile(r"[A-Za-z0-9_-]{1,32}")

T = TypeVar("T")


def slot_of_tag(tag: str) -> int:
    """Return the Redis Cluster slot of a hash tag: CRC-16/XMODEM of its bytes, modulo 16384.

    Source: the Redis Cluster specification, appendix A.
    """
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


@lru_cache(maxsize=64)
def partition_tags(namespace: str, partitions: int) -> tuple[str, ...]:
    """Return the hash tags of all partitions, without braces (about 30 ms for 256 of them)."""
    if partitions == 1:
        return (namespace,)
    return tuple(_spread_tag(namespace, i, partitions) for i in range(partitions))


def _spread_tag(namespace: str, index: int, partitions: int) -> str:
    part = SLOTS / partitions
    lowest, highest = (index + 0.375) * part, (index + 0.625) * part
    stem = f"{namespace}.{index}."
    stem_crc = binascii.crc_hqx(stem.encode(), 0)
    n = 0
    while not lowest <= binascii.crc_hqx(b"%d" % n, stem_crc) % SLOTS < highest:
        n += 1
    return f"{stem}{n}"


@dataclass(frozen=True)
class Partition:
    """The key names of one slice of the key space; all of them live in one Cluster slot."""

    index: int
    tag: str

    @cached_property
    def prefix(self) -> str:
        """What every key of this partition begins with, ``{redisstore}:``."""
        return "{" + self.tag + "}:"

    @cached_property
    def slot(self) -> int:
        """The Cluster slot of this partition."""
        return slot_of_tag(self.tag)

    @cached_property
    def entries(self) -> str:
        """What the names of all entries begin with."""
        return self.prefix + "entry:"

    def entry(self, session_key: SessionKey) -> str:
        """Name the hash of one entry."""
        return f"{self.entries}{session_key}"

    def holds(self, session_key: SessionKey) -> str:
        """Name the sorted set of one session's process holds."""
        return f"{self.prefix}holds:{session_key}"

    @cached_property
    def updated_at(self) -> str:
        """The index by last activity."""
        return self.prefix + "updated_at"

    @cached_property
    def active(self) -> str:
        """The active-process set, scored by when a session's last hold lapses."""
        return self.prefix + "active"

    def session_ids(self, session_id: SessionId) -> str:
        """Name the hash of the ids that end in the same three bytes: session key, session id.

        Small hashes are stored compactly; one large one would take twice the memory.
        """
        ending = session_id.encode()[-3:].decode(errors="surrogateescape")
        return f"{self.prefix}session_ids:{ending}"

    @cached_property
    def meta(self) -> str:
        """The layout record of this partition; with one partition it is the store's."""
        return self.prefix + "meta"

    @cached_property
    def expiry(self) -> str:
        """The index by when to look at a session next: its deadline, or the end of a claim."""
        return self.prefix + "expiry"

    def turn(self, session_key: SessionKey) -> str:
        """Name the hash of the turn that has a lane."""
        return f"{self.prefix}turn:{session_key}"

    def queue(self, session_key: SessionKey) -> str:
        """Name the list of those that wait for a lane."""
        return f"{self.prefix}queue:{session_key}"

    def seen(self, session_key: SessionKey) -> str:
        """Name the sorted set of a lane's messages that were handled."""
        return f"{self.prefix}seen:{session_key}"

    @cached_property
    def turns(self) -> str:
        """The index of lanes with a running turn, scored by when its lease lapses."""
        return self.prefix + "turns"

    @cached_property
    def events(self) -> str:
        """The stream of what happened in this partition."""
        return self.prefix + "events"

    def wake(self, token: str) -> str:
        """Name the list on which the waiting turn of a token is woken."""
        return f"{self.prefix}wake:{token}"

    def lock(self, session_id: SessionId) -> str:
        """Name the lock of a session id that several lanes share."""
        return f"{self.prefix}lock:{session_id}"


@dataclass(frozen=True)
class KeySpace:
    """The keys of one store: its namespace cut into partitions."""

    namespace: str
    partition_count: int = 1

    def __post_init__(self) -> None:
        check_namespace(self.namespace)
        check_partitions(self.partition_count)

    @property
    def meta(self) -> str:
        """The layout record: the hash with layout version and partition count."""
        return self.root + "meta"

    @property
    def root(self) -> str:
        """What the keys begin with that stand at the same place whatever the partition count."""
        return "{" + self.namespace + "}:"

    @property
    def replicas(self) -> str:
        """The index of replicas, scored by when their heartbeat lapses."""
        return self.root + "replicas"

    def job(self, name: str) -> str:
        """Name the hash of a job that one replica at a time does."""
        return f"{self.root}job:{name}"

    @cached_property
    def partitions(self) -> tuple[Partition, ...]:
        """All partitions, by index."""
        tags = partition_tags(self.namespace, self.partition_count)
        return tuple(Partition(i, tag) for i, tag in enumerate(tags))

    @cached_property
    def by_prefix(self) -> Mapping[str, Partition]:
        """All partitions, by what their keys begin with."""
        return {home.prefix: home for home in self.partitions}

    def partition_of(self, session_key: SessionKey) -> Partition:
        """Return the partition that a session key lives in."""
        if self.partition_count == 1:
            return self.partitions[0]
        return self.partitions[zlib.crc32(session_key.encode()) % self.partition_count]

    def home_of_id(self, session_id: SessionId) -> Partition:
        """Return the partition in which the lock of a session id lives, if lanes share it."""
        return self.partitions[zlib.crc32(session_id.encode()) % self.partition_count]

    def by_partition(
        self, items: Iterable[T], key: Callable[[T], SessionKey]
    ) -> dict[Partition, list[T]]:
        """Sort items into the partitions of their session keys, which ``key`` tells; order kept."""
        sorted_items: dict[Partition, list[T]] = {}
        for item in items:
            sorted_items.setdefault(self.partition_of(key(item)), []).append(item)
        return sorted_items


def check_namespace(namespace: object) -> str:
    """Return the namespace, or raise ``InvalidInput``: 1 to 32 of ``A-Z a-z 0-9 _ -``."""
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        raise InvalidInput(
            "namespace", f"must match [A-Za-z0-9_-]{{1,32}}, not {short_repr(namespace)}"
        )
    return namespace


def check_partitions(partitions: object) -> int:
    """Return the partition count, or raise ``InvalidInput``: a whole number from 1 to 256."""
    if type(partitions) is not int or not 1 <= partitions <= MAX_PARTITIONS:
        raise InvalidInput(
            "partitions", f"must be 1 to {MAX_PARTITIONS}, not {short_repr(partitions)}"
        )
    return partitions
