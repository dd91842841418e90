"""Each backend is what its name says, and a missing one is not passed over in CI."""

from __future__ import annotations

import pytest

from tests.servers import Server, available, backend, missing


def test_backend_is_the_version_its_name_promises(server: Server) -> None:
    report = server.info("server")
    version = report["valkey_version" if server.backend.is_valkey else "redis_version"]
    assert version == server.backend.version
    assert server.backend.name.endswith(".".join(version.split(".")[:2]))


def test_only_the_debian_build_speaks_tls() -> None:
    assert {one.name for one in available(tls=True)} <= {"redis-7.0"}


def test_unknown_backend_is_an_error() -> None:
    with pytest.raises(KeyError):
        backend("redis-1.0")


@pytest.mark.parametrize(
    ("environment", "outcome"),
    [("true", pytest.fail.Exception), ("", pytest.skip.Exception)],
)
def test_missing_tool_fails_in_ci_and_skips_elsewhere(
    monkeypatch: pytest.MonkeyPatch, environment: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", environment)
    with pytest.raises(outcome, match="no such tool"):
        missing("no such tool")
