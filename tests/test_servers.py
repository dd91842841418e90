"""The test servers themselves: what other tests rely on is shown here to be so."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import MovedError, NoPermissionError
from redis.retry import Retry

from tests.servers import (
    BACKEND_NAMES,
    HOST,
    Backend,
    Cluster,
    FaultyProxy,
    SentinelSetup,
    Server,
    ServerStartError,
    available,
    backend,
    lease_port,
    make_certificates,
    missing,
    require,
    return_port,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
INCREMENT = "return redis.call('INCR', KEYS[1])"


@pytest.fixture(params=BACKEND_NAMES)
def server_binary(request: pytest.FixtureRequest) -> Backend:
    return require(request.param)


@pytest.fixture
def server(server_binary: Backend) -> Iterator[Server]:
    with Server(server_binary) as running:
        yield running


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(server.address) as running:
        yield running


@pytest.fixture
def victim(proxy: FaultyProxy) -> Iterator[redis.Redis]:
    with client_through(proxy) as client:
        yield client


def client_through(proxy: FaultyProxy, *, socket_timeout: float = 5) -> redis.Redis:
    host, port = proxy.address
    retry = Retry(NoBackoff(), 0)
    return redis.Redis(host=host, port=port, retry=retry, socket_timeout=socket_timeout)


def is_alive(pid: int) -> bool:
    answer = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() not in {"", "Z", "Zs"}


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


def test_wait_until_names_what_it_waited_for() -> None:
    with pytest.raises(TimeoutError, match="a miracle"):
        wait_until(lambda: False, timeout=0.02, message="a miracle")


def test_leased_port_is_not_leased_to_another_process() -> None:
    port = lease_port()
    script = f"""
from tests.servers import ports
ports._RANGE = range({port}, {port} + 1)
ports.lease_port()
"""
    try:
        other = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
    finally:
        return_port(port)
    assert "no free port" in other.stderr


@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_appended_data_survive_the_process(server_binary: Backend, ending: str) -> None:
    with Server(server_binary, appendonly=True) as server:
        address, first = server.address, server.pid
        server.client().set("name", "kept")
        getattr(server, ending)()
        assert not server.running
        with pytest.raises(redis.ConnectionError):
            server.client().ping()
        server.start()
        assert server.address == address
        assert server.pid != first
        assert server.client().get("name") == b"kept"


def test_restart_without_persistence_forgets(server: Server) -> None:
    server.client().set("name", "lost")
    server.restart()
    assert server.client().get("name") is None


def test_paused_server_keeps_silent_and_goes_on(server: Server) -> None:
    client = server.client(socket_timeout=0.1)
    client.ping()
    with server.paused(), pytest.raises(redis.TimeoutError):
        client.ping()
    assert server.client().ping()


def test_paused_server_can_be_stopped(server: Server) -> None:
    server.pause()
    server.stop()
    assert not server.running


def test_directives_reach_the_server(server_binary: Backend, tmp_path: Path) -> None:
    rules = tmp_path / "users.acl"
    secret = f"{tmp_path.name}'\""
    rules.write_text(f"user default on >{secret} ~* &* +@all\nuser reader on nopass ~a:* +get\n")
    with Server(
        server_binary,
        maxmemory="64mb",
        aclfile=rules,
        client_output_buffer_limit=("normal", "32mb", 0, 0),
    ) as server:
        admin = server.client(password=secret)
        assert admin.config_get("maxmemory") == {"maxmemory": str(64 << 20)}
        with pytest.raises(NoPermissionError):
            server.client(username="reader", password=secret).get("b:1")


def test_password_is_in_url_and_client(server_binary: Backend) -> None:
    with Server(server_binary, requirepass="a/b c") as server:
        assert server.client().ping()
        with redis.Redis.from_url(server.url(3)) as client:
            client.set("x", 1)
        assert server.info("keyspace")["db3"]["keys"] == 1


def test_unix_socket_serves_without_tcp(server_binary: Backend) -> None:
    with Server(server_binary, listen="unix", appendonly=True) as server:
        with redis.Redis.from_url(server.url(2)) as client:
            client.set("x", 1)
        server.restart()
        assert server.client(db=2).get("x") == b"1"
        with pytest.raises(RuntimeError, match="unix socket only"):
            _ = server.port


def test_both_ways_lead_to_the_same_data(server_binary: Backend) -> None:
    with Server(server_binary, listen="both") as server:
        server.client().set("x", 1)
        with redis.Redis.from_url(server.socket_url()) as client:
            assert client.get("x") == b"1"


def test_commandstats_count_calls_within_scripts(server: Server) -> None:
    client = server.client()
    client.ping()
    server.reset_commandstats()
    for _ in range(3):
        client.eval(INCREMENT, 1, "n")
    stats = server.commandstats()
    assert (stats["eval"], stats["incr"]) == (3, 3)


def test_wrong_directive_is_reported_with_the_log(server_binary: Backend) -> None:
    with pytest.raises(ServerStartError, match="no-such-directive"):
        Server(server_binary, no_such_directive=1).start()


def test_start_tries_another_port_when_a_stranger_is_faster(
    server_binary: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((HOST, 0)) as stranger:
        taken = stranger.getsockname()[1]
        offered = iter([taken, lease_port()])
        monkeypatch.setattr("tests.servers.single.lease_port", lambda: next(offered))
        with Server(server_binary) as server:
            assert server.port != taken
            assert server.client().ping()


def test_tls_server_is_verified_by_its_ca(tmp_path: Path) -> None:
    binary = require("redis-7.0", tls=True)
    with Server(binary, tls=make_certificates(tmp_path)) as server:
        assert server.url().startswith("rediss://")
        assert server.client().ping()
        with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
            server.client(ssl_ca_certs=None).ping()
        with pytest.raises(redis.ConnectionError):
            server.client(ssl=False).ping()


def test_tls_server_may_ask_for_a_certificate(tmp_path: Path) -> None:
    binary = require("redis-7.0", tls=True)
    with Server(binary, tls=make_certificates(tmp_path, mutual=True)) as server:
        assert server.client().ping()
        with pytest.raises(redis.ConnectionError):
            server.client(ssl_certfile=None, ssl_keyfile=None).ping()


def test_nothing_is_left_after_a_block(server_binary: Backend) -> None:
    with Server(server_binary) as server:
        pid, directory = server.pid, server.directory
        assert is_alive(pid)
    assert not is_alive(pid)
    assert not directory.exists()
    server.close()


def test_nothing_is_left_after_an_interrupt(server_binary: Backend) -> None:
    def interrupted() -> None:
        with server:
            seen.update(pid=server.pid, directory=server.directory)
            raise KeyboardInterrupt

    server, seen = Server(server_binary), dict[str, Any]()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not is_alive(seen["pid"])
    assert not seen["directory"].exists()


@pytest.mark.parametrize("ending", ["exit", "SIGKILL"])
def test_nothing_is_left_of_a_run_that_did_not_clean_up(
    server_binary: Backend, ending: str
) -> None:
    script = f"""
import sys
from tests.servers import Server
server = Server({server_binary.name!r}).start()
print(server.pid, server.directory, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        pid, directory = run.stdout.readline().split()
        assert is_alive(int(pid))
        if ending == "SIGKILL":
            os.kill(run.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(int(pid)), message="the server to be killed")
    wait_until(lambda: not Path(directory).exists(), message="its directory to be removed")


@pytest.fixture(scope="module", params=BACKEND_NAMES)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with Cluster(request.param, replicas=1, node_timeout_ms=1000) as running:
        yield running


def test_cluster_url_names_every_node(cluster: Cluster) -> None:
    hosts = [f"{HOST}:{node.port}" for node in cluster.nodes]
    assert len(hosts) == 6
    assert cluster.url() == "redis+cluster://" + ",".join(hosts)


def test_every_master_of_a_cluster_takes_keys(cluster: Cluster) -> None:
    client = cluster.client()
    owners = {}
    for number in range(30):
        key = f"key:{number}"
        client.set(key, number)
        owner = owners[key] = cluster.master_of(key)
        assert owner.client().get(key) == str(number).encode()
    assert len(set(owners.values())) == 3


def test_another_master_redirects_to_the_one_of_the_key(cluster: Cluster) -> None:
    owner = cluster.master_of("key")
    stranger = next(node for node in cluster.nodes if node is not owner)
    with pytest.raises(MovedError) as moved:
        stranger.client().get("key")
    assert (moved.value.slot_id, moved.value.port) == (key_slot(b"key"), owner.port)


def test_replica_replaces_the_master_of_its_slots(cluster: Cluster) -> None:
    lost = cluster.master_of("key")
    lost.client().set("key", "kept")
    assert lost.client().wait(1, 2000) == 1
    lost.kill()
    successor = wait_until(
        lambda: next(
            (one for one in cluster.nodes if one is not lost and cluster.master_of("key") is one),
            None,
        ),
        timeout=20,
        message="the replica to be promoted",
    )
    cluster.wait_until_ok()
    assert successor is not None
    assert successor.client().get("key") == b"kept"
    assert cluster.client().get("key") == b"kept"
    lost.start()
    wait_until(lambda: lost.info("replication")["role"] == "slave", message="a return as replica")


def test_cluster_without_replicas_is_three_masters() -> None:
    with Cluster(available()[0]) as cluster:
        assert cluster.nodes == cluster.masters
        assert len({cluster.master_of(key) for key in "abcdefgh"}) == 3


def test_sentinels_replace_a_lost_master(server_binary: Backend) -> None:
    with SentinelSetup(server_binary) as setup:
        first = setup.master
        first.client().set("key", "kept")
        assert first.client().wait(1, 2000) == 1
        second = setup.fail_master()
        assert second is not first
        assert second.client().get("key") == b"kept"
        second.client().set("key", "new")
        assert setup.master is second
        assert setup.url(db=2) == "redis+sentinel://{}/mymaster/2".format(
            ",".join(f"{HOST}:{sentinel.port}" for sentinel in setup.sentinels)
        )


def test_proxy_passes_everything_through(victim: redis.Redis, proxy: FaultyProxy) -> None:
    large = os.urandom(3 << 20)
    victim.set("large", large)
    assert victim.get("large") == large
    with victim.pipeline() as pipe:
        for number in range(500):
            pipe.rpush("list", number)
        assert pipe.execute()[-1] == 500
    assert proxy.connections == 1
    assert (proxy.dropped_replies, proxy.dropped_requests) == (0, 0)


def test_dropped_reply_comes_after_the_write(
    server: Server, proxy: FaultyProxy, victim: redis.Redis
) -> None:
    proxy.drop_replies(1)
    with pytest.raises(redis.ConnectionError):
        victim.eval(INCREMENT, 1, "n")
    assert proxy.dropped_replies == 1
    assert server.client().get("n") == b"1"
    assert victim.eval(INCREMENT, 1, "n") == 2


def test_refusal_of_an_unknown_script_is_not_what_is_dropped(
    server: Server, proxy: FaultyProxy, victim: redis.Redis
) -> None:
    script = victim.register_script(INCREMENT)
    proxy.drop_replies(2)
    for written in (b"1", b"2"):
        with pytest.raises(redis.ConnectionError):
            script(keys=["n"])
        assert server.client().get("n") == written
    assert script(keys=["n"]) == 3
    assert proxy.dropped_replies == 2
    assert server.commandstats()["evalsha"] == 4


def test_large_reply_is_dropped_whole(proxy: FaultyProxy, victim: redis.Redis) -> None:
    proxy.drop_replies(1)
    with pytest.raises(redis.ConnectionError):
        victim.eval("return string.rep('x', 4000000)", 0)
    assert proxy.dropped_replies == 1


def test_pipeline_is_carried_out_though_its_replies_are_dropped(
    server: Server, proxy: FaultyProxy, victim: redis.Redis
) -> None:
    proxy.drop_replies(1)
    with victim.pipeline(transaction=False) as pipe:
        for _ in range(3):
            pipe.eval(INCREMENT, 1, "n")
        with pytest.raises(redis.ConnectionError):
            pipe.execute()
    assert server.client().get("n") == b"3"


def test_other_commands_can_be_chosen_to_be_dropped(
    server: Server, proxy: FaultyProxy, victim: redis.Redis
) -> None:
    proxy.drop_replies(1, commands={"SET"})
    assert victim.eval(INCREMENT, 1, "n") == 1
    with pytest.raises(redis.ConnectionError):
        victim.set("x", 1)
    assert server.client().get("x") == b"1"


def test_dropped_request_never_reaches_the_server(
    server: Server, proxy: FaultyProxy, victim: redis.Redis
) -> None:
    proxy.drop_requests(1)
    with pytest.raises(redis.ConnectionError):
        victim.eval(INCREMENT, 1, "n")
    assert proxy.dropped_requests == 1
    assert server.client().get("n") is None
    assert victim.eval(INCREMENT, 1, "n") == 1


def test_hanging_proxy_lets_clients_time_out(server: Server, proxy: FaultyProxy) -> None:
    with client_through(proxy, socket_timeout=0.2) as client:
        client.set("x", 0)
        proxy.hang()
        for _ in range(2):
            with pytest.raises(redis.TimeoutError):
                client.incr("x")
        assert server.client().get("x") == b"0"
        proxy.pass_through()
        assert client.ping()


def test_held_reply_comes_after_the_write(server: Server, proxy: FaultyProxy) -> None:
    with client_through(proxy, socket_timeout=0.2) as client:
        client.ping()
        proxy.hold_replies()
        with pytest.raises(redis.TimeoutError):
            client.incr("x")
        assert server.client().get("x") == b"1"
        proxy.pass_through()
        assert client.incr("x") == 2


def test_cut_ends_a_call_in_the_middle(proxy: FaultyProxy, victim: redis.Redis) -> None:
    victim.ping()
    timer = threading.Timer(0.1, proxy.cut)
    timer.start()
    with pytest.raises(redis.ConnectionError):
        victim.blpop(["nothing"], timeout=3)
    timer.join()
    assert proxy.cuts == 1
    assert victim.ping()


def test_delay_slows_requests_down(proxy: FaultyProxy, victim: redis.Redis) -> None:
    victim.ping()
    proxy.delay(0.15)
    before = time.monotonic()
    victim.ping()
    assert time.monotonic() - before >= 0.15
    proxy.pass_through()
    before = time.monotonic()
    victim.ping()
    assert time.monotonic() - before < 0.15


def test_messages_pass_an_armed_proxy(proxy: FaultyProxy, victim: redis.Redis) -> None:
    proxy.drop_replies(1)
    client: Any = victim
    with client.pubsub() as listener:
        listener.subscribe("news")
        assert listener.get_message(timeout=2) is not None
        victim.publish("news", "hello")
        message = listener.get_message(timeout=2)
        assert message is not None
        assert message["data"] == b"hello"


def test_proxy_without_a_server_closes_the_connection(server: Server, proxy: FaultyProxy) -> None:
    server.kill()
    with client_through(proxy) as client:
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert client.ping()
