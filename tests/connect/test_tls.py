"""TLS: the server is checked, the client shows who it is, and a missing file is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from redis import exceptions as rx

from redisstore.connect import connect, connect_async
from redisstore.errors import InvalidInput, StoreUnavailable
from tests.connect.connections import config, ping, ping_async
from tests.connect.login import QUOTED, SECRET
from tests.servers import Certificates, Server, make_certificates, wait_until


async def test_tls_checks_the_server_and_shows_the_client(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, mutual=True)
    trusting, presenting = f"ssl_ca_certs={certificates.ca}", own_certificate(certificates)
    with Server("redis-7.0", tls=certificates, requirepass=SECRET) as server:
        base = f"rediss://:{QUOTED}@localhost:{server.port}"
        good = f"{base}?{trusting}&{presenting}"
        for about in (ping(good), await ping_async(good)):
            assert about["name"] == "redisstore-gateway-1"
        unchecked = f"{base}?ssl_cert_reqs=none&{presenting}"
        assert ping(unchecked)
        assert await ping_async(unchecked)
        for bad in (f"{base}?{presenting}", f"{base}?{trusting}"):
            with pytest.raises(rx.ConnectionError):
                ping(bad)
            with pytest.raises(rx.ConnectionError):
                await ping_async(bad)


async def test_tls_to_a_cluster(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, mutual=True)
    with Server("redis-7.0", mode="cluster", tls=certificates, tls_cluster=True) as node:
        node.ask("CLUSTER ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: node.ask("CLUSTER INFO")["cluster_state"] == "ok")
        bare = f"rediss+cluster://localhost:{node.port}"
        url = f"{bare}?ssl_ca_certs={certificates.ca}&{own_certificate(certificates)}"
        client: Any = connect(config(url)).client
        assert client.set("key", "value")
        client.close()
        async_client: Any = connect_async(config(url)).client
        assert await async_client.get("key") == b"value"
        await async_client.aclose()
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            connect(config(bare))


def own_certificate(certificates: Certificates) -> str:
    """The options of a URL by which a client shows who it is."""
    return f"ssl_certfile={certificates.client_certificate}&ssl_keyfile={certificates.client_key}"


def test_a_missing_certificate_is_told_at_once() -> None:
    for form in ("rediss://h", "rediss+cluster://h", "rediss+sentinel://h/main"):
        with pytest.raises(InvalidInput, match="ssl_ca_certs: there is no file /missing"):
            connect(config(f"{form}?ssl_ca_certs=/missing"))
        with pytest.raises(InvalidInput, match="ssl_ca_certs: there is no file /missing"):
            connect_async(config(f"{form}?ssl_ca_certs=/missing"))
