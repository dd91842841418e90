"""Processes killed in the middle of their work leave a sound store and stop no one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisstore import SessionStore
from tests.servers import wait_until

from .jobs import TOKENS
from .lanes import key_of, source_of
from .ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redisstore import StoreConfig

    from .crew import Crew

KILLED = (1, 4, 6)
TIMES = 60


def test_increments_of_all_processes_add_up(
    crew: Crew, configured: Callable[..., StoreConfig], tmp_path: Path
) -> None:
    config = configured()
    ledger = Ledger(tmp_path / "ledger", rows=crew.size, columns=1)
    with SessionStore.from_url(config=config) as store:
        store.get_or_create_session(source_of("1"))
        crew.each([_increments(ledger, row, TIMES) for row in range(crew.size)], config)
        entry = store.get_session(key_of("1"))
        assert entry is not None
        assert entry.output_tokens == entry.total_tokens == TOKENS * TIMES * crew.size
        assert entry.estimated_cost_usd * 10**9 == 7 * TIMES * crew.size
        assert entry.version == 1 + TIMES * crew.size
        assert list(store.audit()) == []


def test_a_killed_process_loses_at_most_the_answer_to_its_last_call(
    crew: Crew, configured: Callable[..., StoreConfig], tmp_path: Path
) -> None:
    config = configured()
    ledger = Ledger(tmp_path / "ledger", rows=crew.size, columns=1)
    with SessionStore.from_url(config=config) as store:
        store.get_or_create_session(source_of("1"))
        shift = crew.begin(
            [
                _increments(ledger, row, None if row in KILLED else 3 * TIMES)
                for row in range(crew.size)
            ],
            config,
        )
        for row in KILLED:
            wait_until(lambda row=row: ledger.read(row, 0) > TIMES)  # type: ignore[misc]
            shift.kill(row)
        shift.finish()
        entry = store.get_session(key_of("1"))
        assert entry is not None
        done = entry.version - 1
        assert ledger.total(0) <= done <= ledger.total(0) + len(KILLED)
        assert entry.output_tokens == TOKENS * done
        assert entry.estimated_cost_usd * 10**9 == 7 * done
        assert list(store.audit()) == []


def test_the_hold_of_a_killed_process_lapses_and_that_of_a_living_one_does_not(
    crew: Crew, configured: Callable[..., StoreConfig]
) -> None:
    config = configured(process_hold_ttl=1)
    key = key_of("1")
    with SessionStore.from_url(config=config) as store:
        store.get_or_create_session(source_of("1"))
        shift = crew.begin(
            [("hold", {"name": "1", "process_id": f"process {index}"}) for index in range(2)],
            config,
        )
        wait_until(lambda: len(store.list_holds(key)) == 2)
        first = store.list_holds(key)
        wait_until(
            lambda: all(lapses > first[held] for held, lapses in store.list_holds(key).items()),
            message="both processes to renew their holds",
        )
        shift.kill(0)
        wait_until(lambda: set(store.list_holds(key)) == {"process 1"})
        assert store.count().active == 1
        shift.kill(1)
        wait_until(lambda: not store.list_holds(key))
        assert store.count().active == 0
        assert list(store.audit()) == []


def _increments(ledger: Ledger, row: int, times: int | None) -> tuple[str, dict[str, object]]:
    return "increment", {
        "name": "1",
        "times": times,
        "ledger": ledger.path,
        "rows": ledger.rows,
        "row": row,
    }
