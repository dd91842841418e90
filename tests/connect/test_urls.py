"""What a URL says, and what is said of one that is wrong; never its password."""

from __future__ import annotations

import pytest

from redisstore.config import StoreConfig
from redisstore.connect import connect, connect_async
from redisstore.connect.url import parse
from redisstore.errors import InvalidInput
from tests.connect.login import QUOTED, SECRET


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("redis://localhost", (("localhost", 6379),)),
        ("REDIS://localhost:7000/", (("localhost", 7000),)),
        ("redis://[::1]", (("::1", 6379),)),
        ("rediss://[fe80::1]:7000/3", (("fe80::1", 7000),)),
        ("redis+cluster://a,b:7001,[::1]:7002", (("a", 6379), ("b", 7001), ("::1", 7002))),
        ("redis+sentinel://a,b:7001/main", (("a", 26379), ("b", 7001))),
    ],
)
def test_hosts_and_ports(url: str, hosts: tuple[tuple[str, int], ...]) -> None:
    assert parse(url).hosts == hosts


@pytest.mark.parametrize(
    ("url", "db"),
    [
        ("redis://h", 0),
        ("redis://h/", 0),
        ("redis://h/7", 7),
        ("redis://h?db=7", 7),
        ("unix:///run/redis.sock?db=7", 7),
        ("redis+sentinel://h/main/7", 7),
        ("redis+cluster://h/0", 0),
    ],
)
def test_databases(url: str, db: int) -> None:
    assert parse(url).db == db


@pytest.mark.parametrize(
    "url",
    [
        f"redis://me:{QUOTED}@h",
        f"rediss://h?username=me&password={QUOTED}",
        f"unix://me:{QUOTED}@/run/redis.sock",
        f"unix:///run/redis.sock?username=me&password={QUOTED}",
        f"redis+cluster://me:{QUOTED}@h,h2",
        f"redis+sentinel://me:{QUOTED}@h,h2/main/0?sentinel_password={QUOTED}",
    ],
)
def test_logins_are_decoded_and_never_shown(url: str) -> None:
    target = parse(url)
    assert (target.username, target.password) == ("me", SECRET)
    for shown in (target.label, repr(target)):
        assert SECRET not in shown
        assert QUOTED not in shown


def test_a_label_is_the_url_with_its_password_masked() -> None:
    assert parse("redis://h").label == "redis://h:6379/0"
    assert parse("rediss://me:x@[::1]/2").label == "rediss://me:***@[::1]:6379/2"
    assert parse("redis://:x@h").label == "redis://:***@h:6379/0"
    assert parse("redis+cluster://:x@a,b").label == "redis+cluster://:***@a:6379,b:6379"
    assert parse("redis+sentinel://:x@a/m/1").label == "redis+sentinel://:***@a:26379/m/1"
    assert parse("unix:///run/r.sock").label == "unix:///run/r.sock"
    assert parse("embedded:").label == "embedded:"
    assert parse("embedded:///a/b").label == "embedded:///a/b"
    assert parse("memory://name").label == "memory://name"


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("localhost:6379", "begin with one of redis:"),
        ("", "begin with one of redis:"),
        ("http://h", "begin with one of redis:"),
        ("redis:h", "go on with //"),
        ("redis://", "no host"),
        ("redis:///0", "no host"),
        ("redis://:6379", "no host"),
        ("redis+cluster://a,,b", "no host"),
        ("redis+cluster://a,a", "twice"),
        ("redis://h:port", "number from 1 to 65535"),
        ("redis://h:0", "number from 1 to 65535"),
        ("redis://h:65536", "number from 1 to 65535"),
        ("redis://h:-1", "number from 1 to 65535"),
        ("redis://::1:6379", "in brackets"),
        ("redis://[::1", "in brackets"),
        ("redis://[::1]6379", "in brackets"),
        ("redis://a,b", r"redis\+cluster"),
        ("redis://h/one", "database must be a number"),
        ("redis://h/1?db=2", "two databases"),
        ("redis+cluster://h/1", "no database but 0"),
        ("redis+sentinel://h", "name of the service"),
        ("redis+sentinel://h/main/x", "database must be a number"),
        ("unix://run/redis.sock", "absolute path"),
        ("unix://", "absolute path"),
        ("embedded://dir", "absolute path"),
        ("embedded:dir", "go on with //"),
        ("embedded:///", "absolute path"),
        ("embedded:///a%00b", "control character"),
        ("embedded:///a?appendonly=no", "there are appendfsync"),
        ("memory://a/b", "memory://name"),
        ("memory://me:x@a", "no user name"),
        ("redis://h\n", "control character"),
        ("redis://h?ssl_ca_certs=/ca.pem", "rediss"),
        ("redis://h?socket_timeout=3", "set socket_timeout in the configuration"),
        ("redis://h?retry_on_timeout=1", "set deadline in the configuration"),
        ("redis://h?colour=red", "unknown option colour; there are db"),
        ("rediss://h?ssl_cert_reqs=maybe", "required, optional or none"),
        ("rediss://h?ssl_check_hostname=maybe", "true or false"),
        ("redis://:a/b@h", "%2F"),
        ("redis://:a#b@h", "%23"),
        ("redis://a:b:c", "in brackets"),
    ],
)
def test_a_wrong_url_is_told_what_would_be_right(url: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match=hint) as caught:
        connect(StoreConfig(url=url))
    assert caught.value.field == "url"
    with pytest.raises(InvalidInput, match=hint):
        connect_async(StoreConfig(url=url))


@pytest.mark.parametrize(
    "url",
    [
        "redis://:TOPSECRET:6379",
        "redis://:TOP/SECRET@h",
        "redis://:TOP#SECRET@h",
        "redis://:TOP?SECRET@h",
        "redis://:TOPSECRET@h:x",
        "redis://me:TOPSECRET",
        "redis+cluster://me:TOP,SECRET@h:x",
        "nonsense://:TOPSECRET@h",
        "redis://:TOPSECRET@h?colour=red",
        "rediss://:TOPSECRET@h?ssl_cert_reqs=maybe",
    ],
)
def test_a_refusal_never_shows_a_password(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(url)
    assert "TOP" not in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_without_certificate_checks_the_name_is_not_checked_either() -> None:
    options = parse("rediss://h?ssl_cert_reqs=none").tls_options
    assert options == {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
