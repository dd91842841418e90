"""What `wait_until` says of a wait in vain."""

from __future__ import annotations

import pytest

from tests.servers import wait_until


def test_wait_until_names_what_it_waited_for() -> None:
    with pytest.raises(TimeoutError, match="a miracle"):
        wait_until(lambda: False, timeout=0.02, message="a miracle")
