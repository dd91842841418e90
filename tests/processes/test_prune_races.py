"""A prune that races with touches removes only what was not touched since its cutoff."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from redisstore import SessionStore

from .lanes import key_of, unused_since

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisstore import StoreConfig

    from .crew import Crew

NAMES = [str(number) for number in range(250)]
PRUNERS = 3
LAG_MS = 15
"""How old the cutoffs are: about the time between two touches of a lane, so that all go."""


def test_a_session_touched_after_the_cutoff_is_never_removed(
    crew: Crew, configured: Callable[..., StoreConfig]
) -> None:
    config = configured(prune_batch_size=1)
    with SessionStore.from_url(config=config) as store:
        a_moment_ago = datetime.now(UTC) - timedelta(seconds=1)
        list(store.import_sessions(unused_since(name, a_moment_ago) for name in NAMES))
        answers = crew.each(
            [
                ("prune", {"lag_ms": LAG_MS}) if index < PRUNERS else _touch(index)
                for index in range(crew.size)
            ],
            config,
        )
        cutoffs = {key: cutoff for removed in answers[:PRUNERS] for key, cutoff in removed}
        touches: dict[str, int] = {}
        for touched in answers[PRUNERS:]:
            for name, moment in touched:
                touches[key_of(name)] = max(moment, touches.get(key_of(name), 0))
        # No lane comes back, so every touch that was acknowledged went before the removal.
        assert {key: at for key, at in touches.items() if at >= cutoffs[key]} == {}
        assert touches, "the touches lost every race: it was none"
        reported = Counter(key for removed in answers[:PRUNERS] for key, _ in removed)
        assert reported == dict.fromkeys(map(key_of, NAMES), 1)
        assert list(store.audit()) == []
        assert store.count_sessions() == 0


def _touch(seed: int) -> tuple[str, dict[str, object]]:
    return "touch", {"names": NAMES, "seed": seed}
