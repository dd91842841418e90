"""Many sequences on the gateway that is installed here.

`python tests/hermes/differential URL`, with an empty database of a server for this alone.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from redis import Redis

from .gateway import Gateway
from .play import NAMESPACE, Stage

_ZONE = "Europe/Berlin"
"""One that is not UTC: the gateway's times are local."""


def main() -> int:
    """Play sequences; 1 if one of them failed, which is printed, as short as it gets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="an empty database, redis://127.0.0.1:6379/5")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=100, help="how many seeds")
    parser.add_argument("--failures", type=int, default=1, help="go on until so many have failed")
    given = parser.parse_args()
    client = Redis.from_url(given.url)
    if client.dbsize():
        parser.error("the database is not empty")
    os.environ |= {"REDISSTORE_URL": given.url, "REDISSTORE_NAMESPACE": NAMESPACE, "TZ": _ZONE}
    time.tzset()
    logging.disable(logging.CRITICAL)
    # The gateway's own store asks for each of its writes to be on the disk.
    os.fsync = lambda fd: None  # noqa: ARG005 - its name
    with tempfile.TemporaryDirectory() as directory:
        os.environ["HERMES_HOME"] = directory
        stage = Stage(Gateway(), client, Path(directory))
        failed = _play_all(stage, range(given.first, given.first + given.count), given.failures)
    client.flushdb()
    return 1 if failed else 0


def _play_all(stage: Stage, seeds: range, failures: int) -> int:
    """Play the sequences of these seeds, tell about them, and return how many have failed."""
    begun, sequences, done, failed = time.monotonic(), 0, 0, 0
    met: Counter[str] = Counter()
    for seed in seeds:
        setup, sequence = stage.draw(seed)
        played = stage.play(setup, sequence)
        sequences, done = sequences + 1, done + played.done
        met += Counter(dict.fromkeys(played.met, 1))
        if played.found:
            failed += 1
            _tell_failure(stage, seed)
        if failed >= failures:
            break
    took = time.monotonic() - begun
    print(f"{sequences} sequences, {done} calls, {took:.0f} s, {failed} failed")
    for reason, times in met.most_common():
        print(f"{times:6} met a difference that is meant: {reason}")
    return failed


def _tell_failure(stage: Stage, seed: int) -> None:
    setup, sequence = stage.draw(seed)
    shortest = stage.shortest(setup, sequence)
    played = stage.play(setup, shortest)
    print(f"seed {seed}, {setup}:")
    for call in shortest:
        print(f"    {call}")
    for one in played.found:
        print(f"  {one}")
    sys.stdout.flush()
