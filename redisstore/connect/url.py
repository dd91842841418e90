"""What a URL says. No part of a password gets into a label, a repr or a message of this module.

================  ==============================  =============================================
kind              URL                             options after the ``?``
================  ==============================  =============================================
single            redis://user:pw@host:6379/0     username, password, db
unix              unix:///run/redis.sock          username, password, db
cluster           redis+cluster://h1:6379,h2      username, password
sentinel          redis+sentinel://s1,s2/main/0   the same and db; of the sentinels themselves
                                                  sentinel_username, sentinel_password
embedded          embedded:///directory           appendfsync
memory            memory://name                   none
================  ==============================  =============================================

The user and the password in front are those of the Redis servers. With TLS the scheme begins with
``rediss``, and there are also ``ssl_ca_certs``, ``ssl_certfile`` and ``ssl_keyfile`` (files),
``ssl_ca_data`` (the certificates themselves), ``ssl_cert_reqs`` (``required``, ``optional``,
``none``) and ``ssl_check_hostname`` (``true``, ``false``); with sentinels they go for both. Without
a port it is 6379, of sentinels 26379. In a user name or a password, ``/ ? # @ : ,`` are written as
``%2F %3F %23 %40 %3A %2C``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NoReturn
from urllib.parse import parse_qsl, quote, unquote

from redisstore.errors import InvalidInput

Kind = Literal["single", "unix", "cluster", "sentinel", "embedded", "memory"]

_SCHEMES: dict[str, tuple[Kind, bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "unix": ("unix", False),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "embedded": ("embedded", False),
    "memory": ("memory", False),
}
"""Scheme: kind and whether with TLS."""

_LOGIN = frozenset({"username", "password"})
_SENTINEL_LOGIN = frozenset({"sentinel_username", "sentinel_password"})
_TLS = frozenset(
    {
        "ssl_ca_certs",
        "ssl_ca_data",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_cert_reqs",
        "ssl_check_hostname",
    }
)
"""Those of redis-py's options that all its kinds of client understand."""

_OPTIONS: dict[Kind, frozenset[str]] = {
    "single": _LOGIN | {"db"},
    "unix": _LOGIN | {"db"},
    "cluster": _LOGIN,
    "sentinel": _LOGIN | _SENTINEL_LOGIN | {"db"},
    "embedded": frozenset({"appendfsync"}),
    "memory": frozenset(),
}
_CONFIGURED = {
    "socket_timeout": "socket_timeout",
    "socket_connect_timeout": "socket_timeout",
    "timeout": "deadline",
    "max_connections": "max_connections",
    "retry_on_timeout": "deadline",
    "client_name": "replica",
}
"""redis-py's URL options that are settings here, under what name."""

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_HIGHEST_PORT = 65_535
_OPTION_NAME = re.compile(r"[a-z_]{1,40}")
_MEMORY_NAME = re.compile(r"[A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Target:
    """A URL, taken apart and checked."""

    kind: Kind
    label: str = ""
    """The URL with its password masked and its options left out."""
    tls: bool = False
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    """The socket of `unix`, the directory of `embedded` (empty: the default one)."""
    name: str = ""
    """The service of `sentinel`, the shared store of `memory` (empty: a private one)."""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls_options: Mapping[str, str | bool] = field(default_factory=dict, repr=False)
    appendfsync: str | None = None


def parse(url: str) -> Target:
    """Take a URL apart.

    Raises:
        InvalidInput: it is none of ours; the message says what would be right.

    """
    if not url.isprintable() or "%00" in url:
        _refuse("holds a control character")
    scheme, _, rest = url.strip().partition(":")
    scheme = scheme.lower()
    if scheme not in _SCHEMES:
        _refuse(f"must begin with one of {', '.join(f'{known}:' for known in _SCHEMES)}")
    kind, tls = _SCHEMES[scheme]
    if "#" in rest:
        _refuse("has a '#'; write it as %23 in a user name, a password or a path")
    rest, _, query = rest.partition("?")
    if not rest and kind in {"embedded", "memory"}:
        rest = "//"
    if not rest.startswith("//"):
        _refuse(f"must go on with // after {scheme}:")
    authority, slash, path = rest[2:].partition("/")
    if "@" in path and "@" not in authority and kind in {"single", "cluster", "sentinel"}:
        _refuse("has a '/' before its '@'; write it as %2F in a user name or a password")
    login, at, place = authority.rpartition("@")
    if at and kind in {"embedded", "memory"}:
        _refuse(f"{scheme}: takes no user name or password")
    options = _options(query, kind, tls=tls)
    username, _, password = login.partition(":")
    target = _READERS[kind](place, unquote(slash + path), options.get("db"))
    return replace(
        target,
        tls=tls,
        label=f"{scheme}:{_label(target, unquote(username), login)}",
        username=unquote(username) or options.get("username"),
        password=unquote(password) or options.get("password"),
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        tls_options=_tls_options(options),
        appendfsync=options.get("appendfsync"),
    )


def _refuse(problem: str) -> NoReturn:
    raise InvalidInput("url", problem)


def _options(query: str, kind: Kind, *, tls: bool) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = _OPTIONS[kind] | (_TLS if tls else frozenset())
    if not all(_OPTION_NAME.fullmatch(name) for name in options):
        # Not repeated: it is likely the rest of a password.
        _refuse("an option is misspelled; in a user name or a password, write ? as %3F")
    for name in sorted(options.keys() - known):
        if name in _TLS and kind in {"single", "cluster", "sentinel"}:
            _refuse(f"option {name} needs TLS: a scheme that begins with rediss")
        if name in _CONFIGURED:
            _refuse(f"option {name}: set {_CONFIGURED[name]} in the configuration instead")
        _refuse(f"unknown option {name}; there are {', '.join(sorted(known)) or 'none'}")
    return options


def _single(place: str, path: str, db: str | None) -> Target:
    hosts = _hosts(place, 6379)
    if len(hosts) > 1:
        _refuse("names several hosts; that is for redis+cluster: and redis+sentinel:")
    return Target("single", hosts=hosts, db=_database(path.strip("/"), db))


def _cluster(place: str, path: str, _db: str | None) -> Target:
    if _database(path.strip("/"), None):
        _refuse("a Cluster has no database but 0")
    return Target("cluster", hosts=_hosts(place, 6379))


def _sentinel(place: str, path: str, db: str | None) -> Target:
    service, _, number = path.strip("/").partition("/")
    if not service:
        _refuse("needs the name of the service: redis+sentinel://host:port/service/db")
    return Target("sentinel", hosts=_hosts(place, 26379), name=service, db=_database(number, db))


def _unix(place: str, path: str, db: str | None) -> Target:
    if place or not path.strip("/"):
        _refuse("needs an absolute path: unix:///run/redis.sock")
    return Target("unix", path=path, db=_database("", db))


def _embedded(place: str, path: str, _db: str | None) -> Target:
    if place or (path and not path.strip("/")):
        _refuse("needs an absolute path, embedded:///dir, or none: embedded:")
    return Target("embedded", path=path)


def _memory(place: str, path: str, _db: str | None) -> Target:
    if path or not _MEMORY_NAME.fullmatch(place):
        _refuse("must be memory: or memory://name, the name of A-Z a-z 0-9 . _ -")
    return Target("memory", name=place)


_READERS: dict[Kind, Callable[[str, str, str | None], Target]] = {
    "single": _single,
    "cluster": _cluster,
    "sentinel": _sentinel,
    "unix": _unix,
    "embedded": _embedded,
    "memory": _memory,
}
"""What reads the host and the path (decoded, from its ``/`` on) and the option ``db``."""


def _hosts(place: str, default_port: int) -> tuple[tuple[str, int], ...]:
    hosts = tuple(_host(one, default_port) for one in place.split(","))
    if len(set(hosts)) < len(hosts):
        _refuse("names a host twice")
    return hosts


def _host(text: str, default_port: int) -> tuple[str, int]:
    # What is wrong is not repeated: it may be a piece of a password that was not encoded.
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            _refuse("an IPv6 host must be in brackets: [::1]:6379")
        port = port[1:]
    else:
        host, _, port = text.partition(":")
        if ":" in port:
            _refuse("an IPv6 host must be in brackets: [::1]:6379")
    if not host:
        _refuse("has no host, or an empty one between commas")
    if not port:
        return unquote(host), default_port
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= _HIGHEST_PORT):
        _refuse(
            f"a port must be a number from 1 to {_HIGHEST_PORT}"
            " (in a password, write / ? # @ : , as %2F %3F %23 %40 %3A %2C)"
        )
    return unquote(host), int(port)


def _database(in_path: str, in_query: str | None) -> int:
    if in_path and in_query and in_path != in_query:
        _refuse("names two databases")
    text = in_path or in_query or "0"
    if not (text.isascii() and text.isdigit()):
        _refuse("a database must be a number, 0 or more")
    return int(text)


def _tls_options(options: Mapping[str, str]) -> dict[str, str | bool]:
    tls_options: dict[str, str | bool] = {n: v for n, v in options.items() if n in _TLS}
    if options.get("ssl_cert_reqs", "required") not in {"required", "optional", "none"}:
        _refuse("ssl_cert_reqs must be required, optional or none")
    if "ssl_check_hostname" in options:
        checked = _TRUTH.get(options["ssl_check_hostname"].lower())
        if checked is None:
            _refuse("ssl_check_hostname must be true or false")
        tls_options["ssl_check_hostname"] = checked
    if options.get("ssl_cert_reqs") == "none":
        # Python's ssl refuses to compare a name with a certificate that nobody checks.
        tls_options["ssl_check_hostname"] = False
    return tls_options


def _label(target: Target, username: str, login: str) -> str:
    """Return the URL after its scheme, without its options."""
    if target.kind in {"embedded", "memory"} and not (target.path or target.name):
        return ""
    masked = f"{quote(username)}{':***' if ':' in login else ''}@" if login else ""
    hosts = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in target.hosts)
    match target.kind:
        case "single":
            return f"//{masked}{hosts}/{target.db}"
        case "cluster":
            return f"//{masked}{hosts}"
        case "sentinel":
            return f"//{masked}{hosts}/{target.name}/{target.db}"
        case _:
            return f"//{masked}{target.name}{target.path}"
