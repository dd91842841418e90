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
    SessionId,
    SessionResetPolicy,
    SessionSource,
    SessionStore,
    StoreConfig,
    errors,
)
from redisstore.calls.expiry import described
from tests.commands import ROOT, shell_lines
from tests.entries import key, source
from tests.servers import BACKEND_NAMES, SentinelSetup, Server, wait_until

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])


def text_of(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def section(name: str, heading: str) -> str:
    """A page's section, without those after it."""
    return text_of(name).split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables' rows."""
    lines = re.findall(r"^\|(.+)\|$", text, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


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
    for name in errors.__all__:
        if name not in {"RedisStoreError", "NoSuchSession", "from_script"}:
            assert f"`{name}`" in explained, name


def test_the_log_lines_are_written_so() -> None:
    found = rows(section("runbook.md", "What to watch"))
    alerts = [row for row in found if row[0].startswith("`redisstore.")]
    assert len(alerts) > 5
    for logger, line, _ in alerts:
        path = ROOT / (logger.strip("`").replace(".", "/") + ".py")
        texts = [
            node.value
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        words = line.strip("`").removeprefix("was lost, the ")
        assert any(words in text for text in texts) or logger == "`redisstore.calls.leases`", line


def test_the_sentinel_url_leads_to_the_master() -> None:
    """As it is written, but for the addresses."""
    (line,) = [one for one in shell_lines(DOCS / "operations.md") if "redis+sentinel" in one]
    url = line.partition("=")[2].strip("'")
    rule = re.search(r"^```acl\n(.*?)\n```", text_of("operations.md"), re.DOTALL | re.MULTILINE)
    assert rule is not None
    _, name, *permissions = rule[1].splitlines()[0].split()
    with SentinelSetup("valkey-9.1") as setup:
        for node in setup.data_nodes:
            node.ask("ACL", "SETUSER", name, "reset", *permissions)
        for sentinel in setup.sentinels:
            sentinel.ask(
                "ACL", "SETUSER", "watcher", "on", ">also-change-me", "+@all", "allchannels"
            )
            sentinel.ask("ACL", "SETUSER", "default", "-sentinel|master", "-sentinel|masters")
        hosts = ",".join("{}:{}".format(*sentinel.address) for sentinel in setup.sentinels)
        here = url.replace("s1:26379,s2:26379,s3:26379", hosts)
        assert here != url
        with SessionStore.from_url(here, config=StoreConfig(replica="r")) as store:
            assert store.get_or_create_session(source("ada")).session_key == key("ada")
        (told,) = setup.master.info("keyspace").values()
        assert told["keys"] > 0


LONG = "x" * 65


@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_an_entry_grows_by_these_fields_alone(backend: str) -> None:
    long_origin = SessionSource(
        platform="telegram", chat_id="o", chat_name=LONG, user_name=LONG, chat_topic=LONG
    )
    with Server(backend) as server, SessionStore.from_url(server.url()) as store:

        def encoding(name: str) -> str:
            told: bytes = server.ask("OBJECT", "ENCODING", f"{{redisstore}}:entry:{key(name)}")
            return told.decode()

        store.get_or_create_session(long_origin)
        for name in ("name", "id", "reason", "model"):
            store.get_or_create_session(source(name))
            assert encoding(name) == "listpack"
        assert encoding("o") == "listpack"
        store.amend_session(key("name"), {"display_name": LONG})
        store.switch_session(key("id"), SessionId(LONG))
        store.mark_resume_pending(key("reason"), LONG)
        store.set_model_override(key("model"), {"model": "m", "base_url": f"https://{LONG}"})
        assert {encoding(one) for one in ("name", "id", "reason", "model")} == {"hashtable"}
        store.amend_session(key("name"), {"display_name": "short"})
        assert encoding("name") == "hashtable"
    assert len(described(ValueError(LONG))) > 64


def test_the_example_of_sizing_is_above_what_is_measured() -> None:
    """So that whoever plans by it has room, on each server and by each policy."""
    block = re.search(
        r"^```python\n(.*?)^```", section("operations.md", "Sizing"), re.DOTALL | re.MULTILINE
    )
    assert block is not None
    names: dict[str, int] = {}
    exec(block[1], names)  # noqa: S102 - what a reader would compute
    shown = re.search(r"# (\d+) MB", block[1])
    assert shown is not None
    assert names["maxmemory"] // 10**6 == int(shown[1])
    session, first, further, event = map(int, re.findall(r"\* (\d+)(?= \+|\n)", block[1]))
    measured = {row[0]: row[1:] for row in rows(text_of("benchmarks.md"))}

    def most(name: str) -> float:
        return max(float(cell.split()[0].replace(",", "")) for cell in measured[name])

    assert session > max(
        most("policy none: a session in all, B"), most("policy daily: a session in all, B")
    )
    assert first > most("what a first turn leaves: its message id, B")
    assert further > most("what each further turn leaves: its message id, B")
    with Server("redis-8.2") as server, SessionStore.from_url(server.url()) as store:
        for number in range(500):
            store.get_or_create_session(source(str(4795112267740 + number)))
            store.reset_session(key(str(4795112267740 + number)))
        taken = int(server.ask("MEMORY", "USAGE", "{redisstore}:events", "SAMPLES", 0))
        assert taken / int(server.ask("XLEN", "{redisstore}:events")) < event


def stored(server: Server) -> dict[str, str]:
    """Every key that is there for good, with all that it holds."""
    how = {
        "hash": ("HGETALL",),
        "list": ("LRANGE", 0, -1),
        "stream": ("XRANGE", "-", "+"),
        "string": ("GET",),
        "zset": ("ZRANGE", 0, -1),
    }
    found = {}
    with server.client() as client:
        for name in client.scan_iter():
            if client.ttl(name) < 0:
                kind: Any = client.type(name)
                command, *words = how[kind.decode()]
                told: Any = client.execute_command(command, name, *words)
                found[name.decode()] = repr(told)
    return found


def test_one_person_is_erased_as_it_is_told() -> None:
    person = "479511226774"
    with Server("valkey-9.1") as server, SessionStore.from_url(server.url()) as store:
        store.get_or_create_session(source("somebody else"))
        with store.turn(source(person), f"m-{person}"):
            pass
        running = store.turn(source(person), "m-2")
        running.__enter__()
        store.take_hold(key(person), "p")
        store.suspend_session(key(person))
        assert store.delete_session(key(person))
        with pytest.raises(errors.TurnLost):
            running.end()
        assert [where for where, what in stored(server).items() if person in where + what] == [
            "{redisstore}:events"
        ]
        for event in store.events(since="oldest", wait=0):
            if event.session_key == key(person):
                partition, ms, number = event.id.split("-")
                assert partition == "0"
                server.ask("XDEL", "{redisstore}:events", f"{ms}-{int(number)}")
        left = stored(server)
        assert [where for where, what in left.items() if person in where + what] == []
        assert "somebody else" in left["{redisstore}:events"]
        assert list(store.audit()) == []


def test_a_full_server_handles_no_message_and_lets_turns_end() -> None:
    with Server("valkey-9.1") as server, SessionStore.from_url(server.url()) as store:
        with store.turn(source("ada"), "m-1") as turn:
            server.ask("CONFIG", "SET", "maxmemory", "1mb")
            for refused in (
                lambda: turn.update(1),
                lambda: store.take_message(key("ada"), "m-2", if_turn=turn),
                lambda: store.turn(source("bob"), "m-1").__enter__(),
                lambda: store.get_or_create_session(source("ada")),
                lambda: store.mark_resume_pending(key("ada")),
            ):
                with pytest.raises(errors.StoreFull):
                    refused()
            assert turn.end(1).last_prompt_tokens == 1
        assert store.recover_turns() == 0
        assert store.delete_session(key("ada"))


@pytest.mark.parametrize("is_longer", [False, True])
def test_an_outage_costs_the_turns_whose_lease_it_outlasts(is_longer: bool) -> None:
    config = StoreConfig(replica="r", turn_lease_ttl=2.0 if is_longer else 60.0, deadline=30.0)
    with (
        Server("valkey-9.1", appendonly=True, appendfsync="always") as server,
        SessionStore.from_url(server.url(), config=config) as store,
    ):
        turn = store.turn(source("ada"), "m-1")
        turn.__enter__()
        server.kill()
        if is_longer:
            wait_until(lambda: turn.lost, message="the lease to lapse")
        server.start()
        if not is_longer:
            assert turn.end(1).interruptions == 0
            return
        with pytest.raises(errors.TurnLost):
            turn.end(1)
        assert store.recover_turns() in {0, 1}
        entry = store.get_session(key("ada"))
        assert entry is not None
        assert (entry.resume_pending, entry.resume_reason, entry.interruptions) == (
            True,
            "replica_lost",
            1,
        )
