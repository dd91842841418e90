"""A throw-away certificate authority for the tests of TLS, made by the `openssl` command.

The keys live in the caller's temporary directory and the certificates for two days, so that
nothing secret is ever committed and nothing in the repository expires.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .binaries import missing
from .ports import HOST

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Certificates", "make_certificates"]

_EXTENSIONS = f"""\
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash

[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:{HOST}, DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid

[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid

[req]
distinguished_name = name
prompt = no

[name]
O = redisstore tests
"""


@dataclass(frozen=True, slots=True)
class Certificates:
    """A CA, a server certificate for the loopback address, and a client certificate.

    `mutual` makes a server ask its clients for theirs.
    """

    ca: Path
    server_certificate: Path
    server_key: Path
    client_certificate: Path
    client_key: Path
    mutual: bool = False

    def directives(self, port: int) -> dict[str, str | int | Path | bool]:
        """The configuration of a server which speaks TLS, and nothing else, on that port."""
        return {
            "port": 0,
            "tls-port": port,
            "tls-ca-cert-file": self.ca,
            "tls-cert-file": self.server_certificate,
            "tls-key-file": self.server_key,
            "tls-auth-clients": self.mutual,
            "tls-replication": True,
        }

    def client_options(self) -> dict[str, str | bool]:
        """The keyword arguments which make `redis.Redis` verify the server by this CA."""
        options: dict[str, str | bool] = {"ssl": True, "ssl_ca_certs": str(self.ca)}
        if self.mutual:
            options["ssl_certfile"] = str(self.client_certificate)
            options["ssl_keyfile"] = str(self.client_key)
        return options


def make_certificates(directory: Path, *, mutual: bool = False) -> Certificates:
    """Make a CA and the certificates it signs in `directory`; see `missing` without openssl."""
    if shutil.which("openssl") is None:
        missing("the openssl command is not installed")
    (directory / "openssl.cnf").write_text(_EXTENSIONS, encoding="ascii")
    ca, ca_key = _certificate(directory, "authority", [])
    signed_by = ["-CA", str(ca), "-CAkey", str(ca_key)]
    server, server_key = _certificate(directory, "server", signed_by)
    client, client_key = _certificate(directory, "client", signed_by)
    return Certificates(ca, server, server_key, client, client_key, mutual)


def _certificate(directory: Path, role: str, signed_by: list[str]) -> tuple[Path, Path]:
    """One key and its certificate with the extensions of its role; self-signed by default."""
    certificate, key, request = (directory / f"{role}.{end}" for end in ("crt", "key", "csr"))
    config = str(directory / "openssl.cnf")
    subject = f"/O=redisstore tests/CN={role}"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl(
        *("req", "-new", "-config", config, "-subj", subject, *curve),
        *("-keyout", str(key), "-out", str(request)),
    )
    _openssl(
        *("x509", "-req", "-in", str(request), "-out", str(certificate), "-days", "2", "-sha256"),
        *("-extfile", config, "-extensions", role),
        *(["-CAcreateserial", *signed_by] if signed_by else ["-signkey", str(key)]),
    )
    return certificate, key


def _openssl(*arguments: str) -> None:
    run = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {run.stderr}")
