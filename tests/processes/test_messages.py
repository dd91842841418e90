"""One message that reaches several processes is one process's, also if some of them are killed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from redisstore import SessionStore
from tests.servers import wait_until

from .lanes import key_of
from .upkeep import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redisstore import StoreConfig

    from .crew import Crew

MESSAGES = [f"m-{number}" for number in range(60)]
KILLED = (0, 1, 2)


def test_each_message_is_got_once_by_commands_turns_and_running_turns(
    crew: Crew, configured: Callable[..., StoreConfig]
) -> None:
    config = configured()
    each = [
        ("take_each", {"name": "1", "message_ids": MESSAGES, "seed": seed})
        for seed in range(crew.size // 2)
    ]
    in_turns = [("take_in_turns", {"name": "1", "message_ids": MESSAGES})] * (crew.size // 2)
    got = crew.each([*each, *in_turns], config)
    assert sorted(one for some in got for one in some) == sorted(MESSAGES)
    with SessionStore.from_url(config=config) as store:
        assert not any(store.take_message(key_of("1"), one) for one in MESSAGES)
        assert list(store.audit()) == []


def test_commands_alone_are_got_once_by_the_first_that_asks(
    crew: Crew, configured: Callable[..., StoreConfig]
) -> None:
    config = configured()
    got = crew.together("take_commands", config, name="1", message_ids=MESSAGES)
    assert sorted(one for some in got for one in some) == sorted(MESSAGES)


def test_what_a_killed_process_took_is_answered_by_another_and_nothing_twice(
    crew: Crew, configured: Callable[..., StoreConfig], tmp_path: Path
) -> None:
    config = configured(turn_lease_ttl=1, suspend_after_interruptions=0)
    logs = [Log(tmp_path / str(row)) for row in range(crew.size)]
    shift = crew.begin(
        [
            (
                "answer_all",
                {
                    "name": "1",
                    "message_ids": MESSAGES,
                    "log": tmp_path / str(row),
                    "seed": row,
                    "hangs": row in KILLED,
                },
            )
            for row in range(crew.size)
        ],
        config,
    )
    alive: set[int] = set(KILLED)
    while alive:
        wait_until(lambda: any(logs[row].lines() for row in alive), timeout=30)
        row = next(row for row in alive if logs[row].lines())
        shift.kill(row)
        alive.remove(row)
    shift.finish()
    lines = [line for log in logs for line in log.lines()]
    answered = Counter(one for kind, *some in lines if kind == "answered" for one in some)
    assert answered == dict.fromkeys(MESSAGES, 1)
    with SessionStore.from_url(config=config) as store:
        assert not any(store.take_message(key_of("1"), one) for one in MESSAGES)
        entry = store.get_session(key_of("1"))
        assert entry is not None
        assert entry.output_tokens == len(MESSAGES)
        assert list(store.audit()) == []
