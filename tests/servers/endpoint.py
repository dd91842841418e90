"""Where a server is reached and how one introduces oneself: URLs and client options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from pathlib import Path

    from .tls import Certificates

__all__ = ["Endpoint"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP address, a unix socket or both, with the password and certificates to use there."""

    host: str
    port: int | None
    socket_path: Path | None
    password: str | None
    tls: Certificates | None

    def url(self, db: int) -> str:
        """The URL of a database by TCP: `redis://`, or `rediss://` with TLS."""
        scheme = "redis" if self.tls is None else "rediss"
        return f"{scheme}://{self._credentials}{self.host}:{self.port}/{db}"

    def socket_url(self, db: int) -> str:
        """The URL of a database by the unix socket."""
        return f"unix://{self._credentials}{self.socket_path}?db={db}"

    def client_options(self) -> dict[str, Any]:
        """What `redis.Redis` is constructed with: by TCP if possible, and nothing tried twice."""
        options: dict[str, Any] = {
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "password": self.password,
        }
        if self.port is None:
            return {**options, "unix_socket_path": str(self.socket_path)}
        options |= {"host": self.host, "port": self.port}
        return options if self.tls is None else options | self.tls.client_options()

    @property
    def _credentials(self) -> str:
        return "" if self.password is None else f":{quote(self.password, safe='')}@"
