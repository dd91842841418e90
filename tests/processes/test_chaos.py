"""Everything at once, with processes killed and started anew: the store stays sound."""

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

COUNTED = ["counted 1", "counted 2"]
WILD = ["wild 1", "wild {2}", "wild\n3"]
KILLED = (2, 5)
SECONDS = 3.0
SECONDS_OF_SUCCESSORS = 1.0


def test_random_operations_and_kills_leave_every_invariant_and_every_count(
    crew: Crew, configured: Callable[..., StoreConfig], tmp_path: Path
) -> None:
    config = configured()
    rows = crew.size + len(KILLED)
    ledger = Ledger(tmp_path / "ledger", rows=rows, columns=len(COUNTED))
    with SessionStore.from_url(config=config) as store:
        for name in COUNTED:
            store.get_or_create_session(source_of(name))
        shift = crew.begin([_chaos(ledger, row, SECONDS) for row in range(crew.size)], config)
        for successor, index in enumerate(KILLED, start=crew.size):
            wait_until(lambda row=index: ledger.read(row, 0) > 10)  # type: ignore[misc]
            shift.respawn(index, *_chaos(ledger, successor, SECONDS_OF_SUCCESSORS))
        calls = shift.finish()
        assert len(calls) == crew.size
        assert min(calls) > 0
        assert list(store.audit()) == []
        for column, name in enumerate(COUNTED):
            entry = store.get_session(key_of(name))
            assert entry is not None
            counted, remainder = divmod(entry.output_tokens, TOKENS)
            assert remainder == 0
            assert ledger.total(column) <= counted <= ledger.total(column) + len(KILLED)


def _chaos(ledger: Ledger, row: int, seconds: float) -> tuple[str, dict[str, object]]:
    return "chaos", {
        "counted": COUNTED,
        "wild": WILD,
        "seconds": seconds,
        "seed": row,
        "ledger": ledger.path,
        "rows": ledger.rows,
        "row": row,
    }
