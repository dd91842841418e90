"""Where keys live: names, partitions, tags, and that none of it may ever change."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from redis.crc import key_slot

from redisstore import InvalidInput, SessionId, SessionKey
from redisstore.keys import SLOTS, KeySpace, partition_tags
from tests.conftest import Sites

GOLDEN = json.loads((Path(__file__).parent / "data" / "golden_tags.json").read_text("utf-8"))
ADA = SessionKey("agent:main:telegram:dm:42")


@pytest.mark.parametrize("layout", GOLDEN["tags"], ids=lambda layout: str(layout["partitions"]))
def test_tags_are_those_of_the_layout(layout: dict[str, object]) -> None:
    space = KeySpace(str(layout["namespace"]), int(str(layout["partitions"])))
    assert [[p.tag, p.slot] for p in space.partitions] == layout["tags_and_slots"]


@pytest.mark.parametrize(("partitions", "session_key", "index"), GOLDEN["homes"])
def test_a_session_key_stays_in_its_partition(
    partitions: int, session_key: str, index: int
) -> None:
    assert KeySpace("redisstore", partitions).partition_of(SessionKey(session_key)).index == index


def test_names_with_one_partition() -> None:
    home = KeySpace("redisstore").partition_of(ADA)
    assert home.entry(ADA) == "{redisstore}:entry:agent:main:telegram:dm:42"
    assert home.holds(ADA) == "{redisstore}:holds:agent:main:telegram:dm:42"
    assert home.updated_at == "{redisstore}:updated_at"
    assert home.active == "{redisstore}:active"
    assert home.session_ids(SessionId("20260101_000000_abc")) == "{redisstore}:session_ids:abc"
    assert home.expiry == "{redisstore}:expiry"


@pytest.mark.parametrize("partitions", [1, 3, 64, 256])
def test_the_layout_record_stands_at_the_same_place(partitions: int) -> None:
    assert KeySpace("redisstore", partitions).meta == "{redisstore}:meta"


def test_slots_are_those_that_redis_computes(sites: Sites) -> None:
    with sites.cluster().nodes[0].client() as client:
        for partition in KeySpace("redisstore", 64).partitions:
            asked = client.execute_command("CLUSTER KEYSLOT", partition.updated_at)
            assert asked == partition.slot == key_slot(partition.updated_at.encode())


@pytest.mark.parametrize("partitions", [16, 64, 256])
@pytest.mark.parametrize("masters", [2, 3, 5])
def test_partitions_spread_evenly_over_masters(partitions: int, masters: int) -> None:
    space = KeySpace("redisstore", partitions)
    load = Counter(p.slot * masters // SLOTS for p in space.partitions)
    assert max(load.values()) - min(load.values()) <= 1


def test_no_two_namespaces_share_a_key() -> None:
    # With a separator that a namespace may contain, "a" cut in two could meet "a-0-1" uncut.
    tags = [partition_tags("a", 2), partition_tags("a-0-1", 1), partition_tags("a_0", 3)]
    flat = [tag for some in tags for tag in some]
    assert len(set(flat)) == len(flat)
    assert all("." in tag for tag in partition_tags("a", 2))


@pytest.mark.parametrize(
    "namespace", ["", "a b", "a{b", "a}", "a:b", "a.b", "ä", "x" * 33, None, 7]
)
def test_a_bad_namespace_is_refused(namespace: object) -> None:
    with pytest.raises(InvalidInput, match="namespace"):
        KeySpace(namespace)  # type: ignore[arg-type]


@pytest.mark.parametrize("partitions", [0, -1, 257, 1.0, "4", True, None])
def test_a_bad_partition_count_is_refused(partitions: object) -> None:
    with pytest.raises(InvalidInput, match="partitions"):
        KeySpace("redisstore", partitions)  # type: ignore[arg-type]


def test_all_keys_of_a_partition_are_in_one_slot() -> None:
    for partition in KeySpace("redisstore", 16).partitions:
        names = [partition.entry(ADA), partition.holds(ADA), partition.active, partition.expiry]
        assert {key_slot(name.encode()) for name in names} == {partition.slot}


def test_braces_in_a_chat_id_do_not_move_a_key() -> None:
    home = KeySpace("redisstore").partitions[0]
    assert key_slot(home.entry(SessionKey("agent:{x}:{y")).encode()) == home.slot
