"""What the documentation states is so: settings, methods, versions, sizes, errors, log lines."""

from __future__ import annotations

import ast
import inspect
import json
import re
import tomllib
from typing import Any

import pytest

from redisstore import (
    AsyncSessionStore,
    SessionResetPolicy,
    SessionStore,
    StoreConfig,
    errors,
)
from tests.commands import ROOT
from tests.pages import PAGES, rows, section, text_of
from tests.servers import BACKEND_NAMES


def test_every_setting_is_told_with_its_default() -> None:
    told = {
        row[0].strip("`"): row[1].strip("`")
        for row in rows(section("operations.md", "All settings"))
    }
    config = StoreConfig.model_construct()
    for name in StoreConfig.model_fields:
        value: Any = getattr(config, name)
        match value:
            case None:
                shown = "as stored"
            case SessionResetPolicy():
                shown = value.mode
            case bool() | dict():
                shown = json.dumps(value)
            case int() | float():
                shown = f"{value:g}" if value < 1e5 else str(int(value))
            case _:
                shown = "the host's name" if name == "replica" else value
        assert told.get(name) == shown, name


def test_policies_are_written_so_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in re.findall(
        r"^export (.*)$", section("operations.md", "All settings"), re.MULTILINE
    ):
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value.strip("'"))
    rules = StoreConfig().reset_rules
    assert rules.policy_for("mail", "dm").mode == "both"
    assert rules.policy_for("slack", "group").mode == "none"
    assert rules.policy_for("telegram", "dm").idle_minutes == 120
    assert rules.policy_for("mail", "group").at_hour == 5


@pytest.mark.parametrize("face", [SessionStore, AsyncSessionStore])
def test_every_method_has_its_line(face: type) -> None:
    public = {name for name, _ in inspect.getmembers(face, callable) if not name.startswith("_")}
    told = {name for row in rows(text_of("api.md")) for name in re.findall(r"`(\w+)\(", row[0])}
    assert told == public


def test_the_versions_that_are_named_are_those_tested() -> None:
    told = {
        row[0]: row[1:]
        for row in rows(section("operations.md", "What is supported, and what is tested"))
    }
    named = [
        f"{product.lower()}-{version}"
        for product in ("Redis", "Valkey")
        for version in told[product][1].split(", ")
    ]
    assert sorted(named) == sorted(BACKEND_NAMES)
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    assert told["hermes-agent, with the plugin"][1].replace(", ", ",") in run
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f">={told['Python'][0].split()[0]}" == project["requires-python"]
    least, most = told["redis-py"][0].split(" to ")
    assert f"redis>={least},<{int(most) + 1}" in project["dependencies"]


def test_headings_that_are_linked_to_exist() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8")):
            other = (page.parent / target) if target else page
            headings = re.findall(r"^#+ (.*)$", other.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{page.name}: {target}#{anchor}"


def test_there_is_one_way_to_install() -> None:
    for page in PAGES:
        for line in page.read_text("utf-8").splitlines():
            if "pip install" in line:
                assert "python -m pip install '.[" in line, page.name


def test_every_error_is_explained() -> None:
    explained = text_of("turns.md") + text_of("runbook.md") + text_of("api.md")
    for name, value in inspect.getmembers(errors, inspect.isclass):
        if issubclass(value, errors.RedisStoreError) and name not in {
            "RedisStoreError",  # the root of all
            "NoSuchSession",  # of a key that somebody mistyped
        }:
            assert f"`{name}`" in explained, name


def test_the_log_lines_are_written_so() -> None:
    found = rows(section("runbook.md", "What to watch"))
    alerts = [row for row in found if row[0].startswith("`redisstore.")]
    assert len(alerts) > 5
    for logger, line, _ in alerts:
        module = ROOT / (logger.strip("`").replace(".", "/") + ".py")
        assert "logging.getLogger(__name__)" in module.read_text("utf-8")
        texts = [
            node.value
            for path in module.parent.glob("*.py")
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert any(line.strip("`") in text for text in texts), line
