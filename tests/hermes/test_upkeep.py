"""What gateways do of themselves: a session that has expired is closed by one of them."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redisstore import SessionStore, StoreConfig
from redisstore.entry import SessionEntry
from redisstore.keys import SessionId
from redisstore.source import SessionSource
from tests.servers import wait_until

from .gateway import Gateway
from .installations import Installation
from .pair import Pair
from .phone import Chat

POLICY = '{"mode": "idle", "idle_minutes": 60}'


def idle_since_yesterday(chat: Chat) -> SessionEntry:
    then = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    return SessionEntry(
        session_key=chat.session_key,
        session_id=SessionId("20260101_000000_0123456789ab"),
        created_at=then,
        updated_at=then,
        version=1,
        platform="bluebubbles",
        origin=SessionSource(platform="bluebubbles", chat_id=chat.guid),
    )


def test_an_expired_session_is_closed_by_one_gateway(
    installed: Installation, pair: Pair, chat: Chat, tmp_path: Path
) -> None:
    namespace = f"expiry-{chat.address[1:]}"
    environment = {
        "REDISSTORE_URL": pair.redis.url(),
        "REDISSTORE_NAMESPACE": namespace,
        "REDISSTORE_DEFAULT_RESET_POLICY": POLICY,
    }
    config = StoreConfig.model_validate(
        {
            "url": pair.redis.url(),
            "namespace": namespace,
            "default_reset_policy": {"mode": "idle", "idle_minutes": 60},
        }
    )
    with SessionStore.from_url(config=config) as store, ExitStack() as stack:
        assert [verdict for _, verdict in store.import_sessions([idle_since_yesterday(chat)])] == [
            "created"
        ]
        gateways = [
            Gateway(
                installed,
                tmp_path / name,
                model=pair.model.url,
                phone=pair.phone.url,
                environment={**environment, "REDISSTORE_REPLICA": name},
                start=False,
            )
            for name in ("one", "two")
        ]
        for gateway in gateways:
            stack.callback(gateway.close)
            gateway.launch()
        for gateway in gateways:
            gateway.wait_ready()

        def finalized() -> bool:
            entry = store.get_session(chat.session_key)
            return entry is not None and entry.expiry_finalized

        wait_until(finalized, timeout=60, message=gateways[0].log_tail())
        told = [
            event
            for event in store.events(since="oldest", idle_timeout=0)
            if event.kind == "finalized"
        ]
        assert len(told) == 1
        assert told[0].error is None
