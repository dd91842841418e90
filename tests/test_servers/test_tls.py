"""A server with TLS shows its certificate, and may ask for the client's."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.servers import Server, make_certificates, require


def test_tls_server_is_verified_by_its_ca(tmp_path: Path) -> None:
    binary = require("redis-7.0", tls=True)
    with Server(binary, tls=make_certificates(tmp_path)) as server:
        assert server.url().startswith("rediss://")
        assert server.client().ping()
        with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
            server.client(ssl_ca_certs=None).ping()
        with pytest.raises(redis.ConnectionError):
            server.client(ssl=False).ping()


def test_tls_server_may_ask_for_a_certificate(tmp_path: Path) -> None:
    binary = require("redis-7.0", tls=True)
    with Server(binary, tls=make_certificates(tmp_path, mutual=True)) as server:
        assert server.client().ping()
        with pytest.raises(redis.ConnectionError):
            server.client(ssl_certfile=None, ssl_keyfile=None).ping()
