"""Three sentinels, and the replica that they make master."""

from __future__ import annotations

from tests.servers import HOST, Backend, SentinelSetup


def test_sentinels_replace_a_lost_master(server_binary: Backend) -> None:
    with SentinelSetup(server_binary) as setup:
        first = setup.master
        first.client().set("key", "kept")
        assert first.client().wait(1, 2000) == 1
        second = setup.fail_master()
        assert second is not first
        assert second.client().get("key") == b"kept"
        second.client().set("key", "new")
        assert setup.master is second
        assert setup.url(db=2) == "redis+sentinel://{}/mymaster/2".format(
            ",".join(f"{HOST}:{sentinel.port}" for sentinel in setup.sentinels)
        )
