"""The options that every redis-py client of ours is made with."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from redisstore.config import StoreConfig
from redisstore.connect.url import Target
from redisstore.errors import InvalidInput

_NOT_IN_A_NAME = re.compile(r"[^!-~]+")
_LONGEST_NAME = 80
_UNTOLD: dict[str, None] = (
    {"driver_info": None}
    if find_spec("redis.driver_info")
    else {"lib_name": None, "lib_version": None}
)
"""Has redis-py leave out ``CLIENT SETINFO``: a user with the least permissions may not send it, and
could not be given it before Redis 7.2."""
_FILE_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def settings(target: Target, config: StoreConfig) -> dict[str, Any]:
    """Return the options of a connection to Redis that go for every kind of client.

    The protocol is RESP2: replies have one shape whatever the version of redis-py, and the features
    that RESP3 brings along (maintenance notifications, client-side caches) stay off.
    """
    return {
        "username": target.username,
        "password": target.password,
        "client_name": client_name(config.replica),
        "protocol": 2,
        "decode_responses": False,
        **connection_options(config),
    }


def connection_options(config: StoreConfig) -> dict[str, Any]:
    """Return what goes for connections to sentinels too: how long to wait for one, and for a reply.

    Nothing is sent that says which library this is.
    """
    return {
        **_UNTOLD,
        "socket_timeout": config.socket_timeout,
        "socket_connect_timeout": config.socket_timeout,
    }


def tls_options(target: Target) -> dict[str, Any]:
    """Return redis-py's TLS options of a target.

    Raises:
        InvalidInput: one of them names a file that does not exist.

    """
    for name in _FILE_OPTIONS:
        path = target.tls_options.get(name)
        # Later it would look like a connection that fails, and be tried again and again.
        if path is not None and not Path(str(path)).is_file():
            raise InvalidInput("url", f"{name}: there is no file {path}")
    return dict(target.tls_options)


def client_name(replica: str) -> str:
    """Return the name for ``CLIENT LIST``, which may only hold printable ASCII without spaces."""
    return _NOT_IN_A_NAME.sub("-", f"redisstore-{replica}")[:_LONGEST_NAME]
