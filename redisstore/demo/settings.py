"""How the demo and its replicas open the store."""

from __future__ import annotations

from redisstore.config import StoreConfig
from redisstore.policy import SessionResetPolicy

MESSAGES_AT_ONCE = 12
"""How many messages a replica has in hand at the same time, those that wait for their turn too."""

HOLD_TTL = 6.0
"""Seconds; short enough that holds are renewed before one's eyes, every 2 s."""

TURN_TTL = 2.0
"""Seconds for which a turn outlives its replica: so long are people kept waiting by a crash."""


def store_config(url: str, namespace: str, replica: str) -> StoreConfig:
    """Return a configuration in which nothing that the proof relies on comes from outside."""
    return StoreConfig(
        url=url,
        namespace=namespace,
        replica=replica,
        partitions=None,
        default_reset_policy=SessionResetPolicy(mode="none"),
        reset_by_platform={},
        reset_by_type={},
        group_sessions_per_user=True,
        thread_sessions_per_user=False,
        # The replicas' hourly prune is off: the demo prunes where one can see it.
        session_store_max_age_days=0,
        process_hold_ttl=HOLD_TTL,
        turn_lease_ttl=TURN_TTL,
        turn_wait=5.0,
        message_id_ttl=3600.0,
        # Whom every crash happens to meet is to keep the session all the same.
        suspend_after_interruptions=0,
        # A machine that is busy with something else should make the demo slow, not wrong.
        deadline=30.0,
        socket_timeout=10.0,
    )
