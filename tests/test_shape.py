"""The shape of the code: which way imports point, what is public, how long a file may be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

import redisstore
from redisstore import AsyncSessionStore, AsyncTurn, SessionStore, Turn
from tools.async_twin import TWINS, mark, twin

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "redisstore"

LAYERS = (
    {"errors", "fork", "scripts", "server_info"},
    {"text", "keys", "size"},
    {"source", "policy"},
    {"entry", "config"},
    {"fields"},
    {"calls"},
    {"embedded"},
    {"retry"},
    {"connect"},
    {"sync", "aio"},
    {"transfer", "doctor"},
    {"hermes"},
    {"demo"},
    {"cli"},
)
"""From the ground up: a module imports from its own layer's package or from layers below."""

MAY_IMPORT_REDIS = {"connect", "retry", "sync/runner.py", "aio/runner.py"}
MAY_CROSS = {("aio", "sync")}
"""The asyncio side takes values and types of the other, and nothing that runs."""


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if top not in {"__init__", "__main__"}:
            found.append((top, path))
    return found


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(top: str) -> int:
    return next(index for index, names in enumerate(LAYERS) if top in names)


@pytest.mark.parametrize(
    ("top", "path"), modules(), ids=[str(path.relative_to(PACKAGE)) for _, path in modules()]
)
def test_imports_point_down(top: str, path: Path) -> None:
    for name in imported(path):
        package, _, rest = name.partition(".")
        below = rest.partition(".")[0]
        if package == "redisstore" and below not in {"", top} and (top, below) not in MAY_CROSS:
            assert below in dict(modules()), f"{path} imports {name} from the package's front door"
            assert layer(below) < layer(top), f"{path} imports {name}"


def test_nothing_that_runs_crosses_from_one_face_to_the_other() -> None:
    crossed = {
        name
        for top, path in modules()
        if top == "aio"
        for name in imported(path)
        if name.startswith("redisstore.sync.") and name.count(".") > 2
    }
    assert crossed
    for name in crossed:
        module, _, taken = name.rpartition(".")
        value = getattr(import_module(module), taken)
        assert not callable(value) or isinstance(value, TypeVar) or is_protocol(value), name


def is_protocol(value: object) -> bool:
    return isinstance(value, type) and Protocol in value.__mro__


def test_the_house_in_the_docs_is_drawn_in_the_order_of_the_layers() -> None:
    text = (ROOT / "docs" / "internals.md").read_text("utf-8")
    drawn = [
        set(re.findall(r"(\w+)(?:\.py|/)", line.group()))
        for line in re.finditer(r"^  (?:\w+(?:\.py|/)(?: |$))+", text, re.MULTILINE)
    ]
    layers = [sorted(layer(name) for name in names) for names in drawn]
    assert sorted(layers) == layers
    assert sorted(name for names in drawn for name in names) == sorted(dict(modules()))


def test_the_benchmarks_are_listed_from_the_ground_up() -> None:
    place = ROOT / "benchmarks"
    text = ast.get_docstring(ast.parse((place / "__init__.py").read_text("utf-8"))) or ""
    listed = [re.findall(r"`(\w+)`", bullet) for bullet in text.split("\n- ")[1:]]
    order = {name: number for number, names in enumerate(listed) for name in names}
    files = [path for path in place.rglob("*.py") if path != place / "__init__.py"]
    tops = {path: path.relative_to(place).parts[0].removesuffix(".py") for path in files}
    assert set(order) == set(tops.values())
    for path, top in tops.items():
        for name in imported(path):
            package, _, rest = name.partition(".")
            if package == "benchmarks" and rest:
                assert order[rest.partition(".")[0]] <= order[top], f"{path} imports {name}"


def test_only_the_edge_knows_redis_py() -> None:
    for top, path in modules():
        if any(name.partition(".")[0] == "redis" for name in imported(path)):
            where = str(path.relative_to(PACKAGE))
            assert top in MAY_IMPORT_REDIS or where in MAY_IMPORT_REDIS, where


def normalised(text: str) -> str:
    tree = ast.parse(text)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imports:
        node.names.sort(key=lambda alias: alias.name)
    rest = [node for node in tree.body if node not in imports]
    return "\n".join([*sorted(map(ast.dump, imports)), *map(ast.dump, rest)])


@pytest.mark.parametrize("name", TWINS)
def test_the_asyncio_store_is_the_twin_of_the_other(name: str) -> None:
    written = (PACKAGE / "aio" / name).read_text("utf-8")
    expected = twin((PACKAGE / "sync" / name).read_text("utf-8"))
    assert normalised(written) == normalised(expected)
    assert written.startswith(mark(name))


def public(store: type) -> set[str]:
    return {name for name in dir(store) if not name.startswith("_")}


def test_both_stores_have_the_same_methods() -> None:
    assert public(SessionStore) == public(AsyncSessionStore)


@pytest.mark.parametrize("turn", [Turn, AsyncTurn])
def test_a_turn_shows_what_its_handler_needs_and_no_more(turn: type) -> None:
    assert public(turn) == {
        "created",
        "end",
        "ended",
        "entry",
        "fence",
        "give_up",
        "lease",
        "lost",
        "message_id",
        "reset_reason",
        "session_key",
        "token",
        "update",
    }
    assert all(getattr(turn, name).__doc__ for name in public(turn))


@pytest.mark.parametrize("name", sorted(public(SessionStore)))
def test_every_public_method_says_how_to_see_it(name: str) -> None:
    text = getattr(SessionStore, name).__doc__ or ""
    assert len(text) > 20
    if name not in {"close", "from_url", "layout"}:
        assert "redis-cli" in text


NOT_FOR_CALLERS = {
    "Call",
    "Connection",
    "Context",
    "ItemT",
    "Partition",
    "Steps",
    "Sweep",
    "SyncClient",
}
"""What operations are made from, a client of redis-py, and the layout that an operator reads."""


@pytest.mark.parametrize("name", [*TWINS, "base.py"])
def test_the_types_in_public_signatures_can_be_imported_from_the_front(name: str) -> None:
    tree = ast.parse((PACKAGE / "sync" / name).read_text("utf-8"))
    ours = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("redisstore")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            hints = [
                node.returns,
                *(one.annotation for one in ast.walk(node.args) if isinstance(one, ast.arg)),
            ]
            used = {
                n.id for hint in hints if hint for n in ast.walk(hint) if isinstance(n, ast.Name)
            }
            missing = (used & ours) - NOT_FOR_CALLERS - set(redisstore.__all__)
            assert missing <= {"OnLost", "OnExpired"}, node.name


def test_the_public_names_are_these() -> None:
    assert sorted(redisstore.__all__) == [
        "Amendments",
        "AsyncMaintenance",
        "AsyncProcessHold",
        "AsyncSessionStore",
        "AsyncTurn",
        "ClockSkew",
        "CorruptEntry",
        "Counters",
        "Counts",
        "Drained",
        "DuplicateMessage",
        "EntryTooLarge",
        "Event",
        "EventGroup",
        "ExpiredSession",
        "Fault",
        "Handled",
        "HasLease",
        "Hold",
        "InvalidInput",
        "LayoutMismatch",
        "Maintenance",
        "ModelOverride",
        "NoSuchSession",
        "Only",
        "ProcessHold",
        "PruneBatch",
        "PruneReport",
        "RedisStoreError",
        "Replica",
        "ReplicaDraining",
        "RunningTurn",
        "ServerInfo",
        "ServerNode",
        "SessionEntry",
        "SessionId",
        "SessionKey",
        "SessionResetPolicy",
        "SessionSource",
        "SessionStore",
        "Since",
        "StaleWrite",
        "StoreClosed",
        "StoreConfig",
        "StoreFull",
        "StoreInUse",
        "StoreRefused",
        "StoreUnavailable",
        "Turn",
        "TurnBusy",
        "TurnLost",
        "Verdict",
        "build_session_key",
    ]
    assert all(hasattr(redisstore, name) for name in redisstore.__all__)


def source_files() -> list[Path]:
    folders = ("redisstore", "lua", "tests", "tools", "benchmarks", "examples")
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".py", ".lua"}
    ]


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in source_files()}
    assert {path: n for path, n in lengths.items() if n > 300} == {}
