"""What the documentation states of servers is so: logins, fullness, outages, sizes, erasing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from redisstore import SessionId, SessionSource, SessionStore, StoreConfig, errors
from redisstore.calls.expiry import described
from tests.commands import run_redis_cli, shell_lines
from tests.entries import key, source
from tests.pages import DOCS, block, rows, section, text_of
from tests.servers import BACKEND_NAMES, SentinelSetup, Server, make_certificates, wait_until


def test_the_sentinel_url_leads_to_the_master() -> None:
    """As it is written, but for the addresses."""
    (line,) = [one for one in shell_lines(DOCS / "operations.md") if "redis+sentinel" in one]
    url = line.partition("=")[2].strip("'")
    _, name, *permissions = block(text_of("operations.md"), "acl").split()
    with SentinelSetup("valkey-9.1") as setup:
        for node in setup.data_nodes:
            node.ask("ACL", "SETUSER", name, "reset", *permissions)
        for sentinel in setup.sentinels:
            sentinel.ask("ACL", "SETUSER", "watcher", "on", ">also-change-me", "+sentinel|masters")
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
    example = block(section("operations.md", "Sizing"), "python")
    names: dict[str, int] = {}
    exec(example, names)  # noqa: S102 - what a reader would compute
    shown = re.search(r"# (\d+) MB", example)
    assert shown is not None
    assert names["maxmemory"] // 10**6 == int(shown[1])
    session, first, further, event = map(int, re.findall(r"\* (\d+)(?= \+|\n)", example))
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


@pytest.mark.parametrize("partitions", [1, 4])
def test_one_person_is_erased_as_it_is_told(partitions: int) -> None:
    person = "479511226774"
    config = StoreConfig(replica="r", partitions=partitions)
    (find,) = [one for one in shell_lines(DOCS / "security.md") if "--scan" in one]
    with (
        Server("valkey-9.1") as server,
        server.client() as admin,
        SessionStore.from_url(server.url(), config=config) as store,
    ):
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
        left = [where for where, what in stored(server).items() if person in where + what]
        assert [where.rpartition(":")[2] for where in left] == ["events"]
        for event in store.events(since="oldest", idle_timeout=0):
            if event.session_key == key(person):
                partition, ms, number = event.id.split("-")
                streams = [b"{redisstore}:events"]
                if partitions > 1:
                    streams = run_redis_cli(admin, find.replace(".0.", f".{partition}."))
                assert [admin.xdel(one, f"{ms}-{int(number)}") for one in streams] == [1]
        texts = [where + what for where, what in stored(server).items()]
        assert not any(person in text for text in texts)
        assert any(":events" in text and "somebody else" in text for text in texts)
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


def test_a_password_is_changed_while_replicas_run() -> None:
    """By the two commands of the page on security."""
    add, remove = (
        line for line in shell_lines(DOCS / "security.md") if "ACL SETUSER gateway" in line
    )
    with Server("valkey-9.1") as server, server.client() as admin:
        _, name, *permissions = block(text_of("operations.md"), "acl").split()
        server.ask("ACL", "SETUSER", name, "reset", *permissions)
        old = server.url().replace("redis://", "redis://gateway:change-me@")
        new = old.replace("change-me", "new-password")
        with SessionStore.from_url(old) as before, SessionStore.from_url(new) as after:
            before.get_or_create_session(source("ada"))
            run_redis_cli(admin, add)
            assert after.get_session(key("ada")) is not None
            run_redis_cli(admin, remove)
            assert before.get_session(key("ada")) is not None
            assert after.get_session(key("ada")) is not None
        with SessionStore.from_url(old) as late, pytest.raises(errors.StoreRefused):
            late.get_session(key("ada"))


def test_fields_that_this_version_does_not_know_stay() -> None:
    """So replicas of an older version may run beside a newer one."""
    with Server("valkey-9.1") as server, SessionStore.from_url(server.url()) as store:
        ada = store.get_or_create_session(source("ada"))
        newer = (f"{{redisstore}}:entry:{ada.session_key}", "of_a_newer_version")
        server.ask("HSET", *newer, "x")
        with store.turn(source("ada"), "m-1"):
            store.amend_session(ada.session_key, {"display_name": "Ada"})
        store.suspend_session(ada.session_key)
        store.get_or_create_session(source("ada"))
        store.reset_session(ada.session_key)
        store.switch_session(ada.session_key, ada.session_id)
        assert server.ask("HGET", *newer) == b"x"
        assert list(store.audit()) == []


def test_the_messages_where_tls_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ours, other = make_certificates(tmp_path), make_certificates(tmp_path / "other", mutual=True)
    config = StoreConfig(replica="r", deadline=0.5, socket_timeout=0.2)
    with (
        Server("redis-7.0") as plain,
        Server("redis-7.0", tls=ours) as closed,
        Server("redis-7.0", tls=other) as asking,
    ):
        met = (
            f"rediss://localhost:{plain.port}?ssl_ca_certs={ours.ca}",
            f"redis://localhost:{closed.port}",
            f"rediss://localhost:{asking.port}?ssl_ca_certs={other.ca}",
            f"rediss://localhost:{closed.port}?ssl_ca_certs={other.ca}",
        )
        told = rows(section("runbook.md", "Redis is away"))[2:]
        assert len(told) == len(met)
        for url, (messages, _) in zip(met, told, strict=True):
            with (
                SessionStore.from_url(url, config=config) as store,
                pytest.raises(errors.StoreUnavailable) as unavailable,
            ):
                store.get_session(key("ada"))
            said = str(unavailable.value)
            assert any(one in said for one in re.findall(r"`(.*?)`", messages)), (url, said)


def test_what_was_refused_a_script_is_in_the_log_of_the_server() -> None:
    (ask,) = [line for line in shell_lines(DOCS / "runbook.md") if "ACL LOG" in line]
    with Server("redis-7.0") as server, server.client() as admin:
        allowed = ("~*", "+client|setname", "+evalsha", "+eval", "+time")
        server.ask("ACL", "SETUSER", "gateway", "on", ">x", *allowed)
        url = server.url().replace("redis://", "redis://gateway:x@")
        with (
            SessionStore.from_url(url) as store,
            pytest.raises(errors.StoreRefused) as refused,
        ):
            store.get_or_create_session(source("ada"))
        assert "type" not in str(refused.value)
        assert (b"type", b"gateway") in [
            (entry[b"object"], entry[b"username"]) for entry in run_redis_cli(admin, ask)
        ]
