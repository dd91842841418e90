"""How much memory a server uses for data."""

from __future__ import annotations

from typing import Any

from tests.servers import Server, wait_until

_STEADY_READINGS = 15
"""A hundredth of a second apart: longer than the server takes to come round to its housekeeping."""


def used_memory(server: Server) -> int:
    """Return the bytes in use for data, when the server has come to rest.

    Answers that are kept for calls that might be repeated are removed first: they lapse anyhow.
    """
    delete_keys(server, "*:op:*")
    client: Any = server.client()
    readings: list[int] = []

    def steady() -> bool:
        memory = client.info("memory")
        readings.append(memory["used_memory"] - memory["mem_clients_normal"])
        return readings[-_STEADY_READINGS:] == [readings[-1]] * _STEADY_READINGS

    wait_until(steady, timeout=30)
    client.close()
    return readings[-1]


def delete_keys(server: Server, pattern: str) -> None:
    """Delete the keys that match, one by one: a master of a Cluster takes no two slots at once."""
    client: Any = server.client()
    pipeline = client.pipeline(transaction=False)
    for key in client.scan_iter(match=pattern, count=1000):
        pipeline.delete(key)
    pipeline.execute()
    client.close()
