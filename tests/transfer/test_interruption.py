"""An import that was killed is run again, and goes on where it was."""

from __future__ import annotations

import subprocess
import sys

import pytest

from redisstore import SessionStore
from tests.transfer.files import GATEWAY_DATABASE, carry_in, compare

_IMPORT = """
import sys
from redisstore import SessionStore, StoreConfig
from redisstore.transfer import import_file

def wait_for_the_end(done, total):
    if done == 300:
        print("in the middle", flush=True)
        sys.stdin.read()

config = StoreConfig.model_validate_json(sys.argv[1])
with SessionStore.from_url(config=config) as store:
    import_file(store, sys.argv[2], zone="UTC", on_progress=wait_for_the_end)
"""


@pytest.mark.parametrize("site", ["valkey-9.1", "valkey-9.1/4"], indirect=True)
def test_an_import_that_was_killed_is_run_again(store: SessionStore) -> None:
    command = [sys.executable, "-c", _IMPORT, store.config.model_dump_json(), str(GATEWAY_DATABASE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in the middle\n"
        process.kill()
    there = store.count_sessions()
    assert 0 < there < 600
    assert len(compare(store, GATEWAY_DATABASE).missing) == 600 - there

    report = carry_in(store, GATEWAY_DATABASE)
    assert (report.created, report.kept) == (600 - there, there)
    assert compare(store, GATEWAY_DATABASE).equal == 600
