"""Turns on the command line, and what the doctor says of those that nobody looks after."""

from __future__ import annotations

import pytest
import redis

from redisstore import DuplicateMessage, SessionStore, TurnLost
from redisstore.doctor import Finding, examine
from tests.cli.material import KEY, Run, document, source
from tests.turns import begun


def test_turns_are_listed_with_who_has_them(store: SessionStore, run: Run) -> None:
    assert "no turns" in run("turns").stdout
    with store.turn(source("42"), "m-1") as turn:
        listed = run("turns").stdout
        assert KEY in listed
        assert "m-1" in listed
        found = document(run("turns", "--json"))
        assert found["session_key"] == KEY
        assert (found["fence"], found["message_id"]) == (turn.fence, "m-1")
        assert (found["waiting"], found["lapsed"]) == (0, False)
        assert document(run("stats", "--json"))["running"] == 1


def test_show_names_the_keys_of_a_turn(store: SessionStore, run: Run) -> None:
    with store.turn(source("42"), "m-1"):
        keys = document(run("show", KEY, "--json"))["redis_keys"]
        assert keys["turn"] == f"{{redisstore}}:turn:{KEY}"
        assert f"LRANGE '{keys['queue']}'" in run("show", KEY).stdout


@pytest.mark.parametrize("claimed", [True, False])
def test_the_doctor_names_a_turn_that_nobody_found(
    store: SessionStore, client: redis.Redis, claimed: bool
) -> None:
    begun(store, "42")
    client.zadd("{redisstore}:turns", {KEY: 1})
    if not claimed:
        client.hdel(f"{{redisstore}}:turn:{KEY}", "fence")
    (stuck,) = [finding for finding in examine(store) if finding.check == "turns"]
    assert stuck.severity == "fault"
    assert KEY in stuck.message
    assert "maintenance" in stuck.advice
    store.recover_turns()
    (fine,) = [finding for finding in examine(store) if finding.check == "turns"]
    assert fine == Finding("ok", "turns", "0 running, none is overdue")


def test_the_doctor_counts_lapsed_holds(store: SessionStore, client: redis.Redis) -> None:
    store.get_or_create_session(source("42"))
    store.take_hold(KEY, "gone")
    client.zadd(f"{{redisstore}}:holds:{KEY}", {"gone": 1})
    client.zadd("{redisstore}:active", {KEY: 1})
    (holds,) = [finding for finding in examine(store) if finding.check == "holds"]
    assert (holds.severity, "1 by processes that died" in holds.message) == ("ok", True)


def test_a_turn_that_a_clock_set_back_left_in_the_far_future_is_stuck(
    store: SessionStore, client: redis.Redis
) -> None:
    begun(store, "42")
    client.zadd("{redisstore}:turns", {KEY: 9_999_999_999_999})
    (found,) = store.list_turns()
    assert (found.lapsed, found.lapses_in > 300) == (True, True)
    (stuck,) = [finding for finding in examine(store) if finding.check == "turns"]
    assert (stuck.severity, KEY in stuck.message) == ("fault", True)
    assert store.recover_turns() == 1


def test_a_turn_that_hangs_is_revoked_by_hand(store: SessionStore, run: Run) -> None:
    turn = begun(store, "42", "m-1")
    listed = document(run("turns", "--json"))
    assert listed["token"] == turn.token
    result = run("revoke-turn", KEY, answers="y\n")
    assert result.exit_code == 0
    assert all(part in result.stdout for part in (KEY, "UTC", "m-1", "0 wait"))
    assert "Revoke it?" in result.stderr
    with pytest.raises(TurnLost):
        turn.end()
    assert begun(store, "42", "m-1").message_id == "m-1"


def test_a_turn_is_revoked_without_a_question_and_its_message_is_handled(
    store: SessionStore, run: Run
) -> None:
    turn = begun(store, "42", "m-1")
    result = document(run("revoke-turn", KEY, "--yes", "--handled", "--json"))
    assert (result["revoked"]["token"], result["handled"]) == (turn.token, True)
    with pytest.raises(DuplicateMessage):
        begun(store, "42", "m-1")


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_a_turn_goes_on_unless_its_revocation_is_confirmed(
    store: SessionStore, run: Run, answer: str
) -> None:
    with store.turn(source("42"), "m-1") as turn:
        result = run("revoke-turn", KEY, answers=answer)
        assert result.exit_code == 1
        assert "nothing was done" in result.stderr
        turn.end()


def test_there_is_nothing_to_revoke_where_no_turn_runs(
    store: SessionStore, client: redis.Redis, run: Run
) -> None:
    assert run("revoke-turn", KEY, "--yes").exit_code == 1
    begun(store, "42")
    client.hdel(f"{{redisstore}}:turn:{KEY}", "fence")
    result = run("revoke-turn", KEY, "--yes")
    assert (result.exit_code, "has not begun" in result.stderr) == (1, True)


def test_the_doctor_warns_of_a_turn_that_may_hang(store: SessionStore, client: redis.Redis) -> None:
    begun(store, "42")
    lane = f"{{redisstore}}:turn:{KEY}"
    began_at = client.hget(lane, "began_at")
    assert isinstance(began_at, bytes)
    client.hset(lane, "began_at", int(began_at) - 3_601_000)
    (found,) = [finding for finding in examine(store) if finding.severity != "ok"]
    assert (found.severity, found.check) == ("warning", "turns")
    assert KEY in found.message
    assert "revoke-turn" in found.advice
